package option

import (
	"fmt"
	"strconv"
	"strings"
)

// Code is the number of an option by its name or number, as Parse takes them.
func Code(nameOrCode string) (uint8, error) {
	name := strings.TrimPrefix(strings.TrimSpace(nameOrCode), "option:")
	if i, ok := lookup(name); ok {
		return i.code, nil
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil || n == 0 || n == 255 { // pad and end are no options (RFC 2132 section 3.1, 3.2)
		return 0, fmt.Errorf("no option is called %q: use its number, or a name such as router or ntp-server", nameOrCode)
	}
	return uint8(n), nil
}
