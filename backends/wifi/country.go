package wifi

import (
	"fmt"
	"strings"
)

// countries are the codes of ISO 3166-1 that the kernel has rules for (wireless-regdb 2026.02.04), each of two letters. With another
// one it stays with the rules of the whole world.
const countries = "" +
	"ADAEAFAIALAMARASATAUAWAZBABBBDBEBFBGBHBLBMBNBOBRBSBTBWBYBZCACFCHCICLCNCOCRCUCXCYCZDEDKDMDODZECEEEGESETFIFMFRGBGDGEGFGH" +
	"GLGPGRGTGUGYHKHNHRHTHUIDIEILINIRISITJMJOJPKEKHKNKPKRKWKYKZLBLCLILKLSLTLULVMAMCMDMEMFMHMKMNMOMPMQMRMTMUMVMWMXMYNANGNINL" +
	"NONPNZOMPAPEPFPGPHPKPLPMPRPTPWPYQARERORSRURWSASESGSISKSNSRSVSXSYTCTDTGTHTNTRTTTWTZUAUGUSUYUZVCVEVIVNVUWFWSYEYTZAZW"

// CheckCountry wants a country whose rules the kernel knows. Network.Check does not: what was stored before has to load.
func CheckCountry(code string) error {
	for i := 0; i < len(countries); i += 2 {
		if countries[i:i+2] == code {
			return nil
		}
	}
	hint := "take two letters of ISO 3166-1, such as DE or US"
	if strings.EqualFold(code, "UK") {
		hint = "the United Kingdom is GB"
	}
	return fmt.Errorf("the kernel has no rules for Wi-Fi in a country %q: %s", code, hint)
}
