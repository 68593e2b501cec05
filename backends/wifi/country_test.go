package wifi

import (
	"strings"
	"testing"
)

func TestCheckCountry(t *testing.T) {
	for _, c := range []string{"AD", "DE", "GB", "NO", "US", "ZW"} {
		if err := CheckCountry(c); err != nil {
			t.Error(err)
		}
	}
	// DA is of the letters of AD and AE, the next two codes.
	for c, says := range map[string]string{"UK": "is GB", "XX": "ISO 3166-1", "DA": "ISO", "00": "ISO", "": "ISO", "D": "ISO", "DEU": "ISO", "de": "ISO"} {
		if err := CheckCountry(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", c, err)
		}
	}
	if len(countries)%2 != 0 {
		t.Error("half a code")
	}
	for i := 2; i < len(countries); i += 2 {
		if countries[i-2:i] >= countries[i:i+2] {
			t.Errorf("%s is not after %s", countries[i:i+2], countries[i-2:i])
		}
	}
}
