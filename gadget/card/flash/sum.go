package flash

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// ParseSum finds the SHA-256 of the file name in what sha256sum writes, in its own form ("HEX  NAME", "HEX *NAME"), in BSD's
// ("SHA256 (NAME) = HEX"), or a number alone.
func ParseSum(text, name string) (string, error) {
	var alone []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "-----") {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "SHA256 ("); ok {
			if file, sum, ok := strings.Cut(rest, ") = "); ok && base(file) == name {
				return hexSum(sum)
			}
			continue
		}
		sum, file, found := strings.Cut(line, " ")
		if !found {
			if _, err := hexSum(sum); err == nil {
				alone = append(alone, sum)
			}
			continue
		}
		if base(strings.TrimPrefix(strings.TrimLeft(file, " "), "*")) == name {
			return hexSum(sum)
		}
	}
	if len(alone) == 1 {
		return hexSum(alone[0])
	}
	return "", fmt.Errorf("no SHA-256 of %s is in it", name)
}

// base is the last part of a path of any system.
func base(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

func hexSum(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if b, err := hex.DecodeString(s); err != nil || len(b) != 32 {
		return "", fmt.Errorf("%q is no SHA-256: it has 64 hexadecimal digits", s)
	}
	return s, nil
}

// Expected is the SHA-256 that an image should have: the one that was given, or that in IMAGE.sha256 beside it; "" where there
// is neither. from says where it was found.
func Expected(given, image string) (sum, from string, err error) {
	if given != "" {
		sum, err = hexSum(given)
		return sum, "--sha256", err
	}
	file := image + ".sha256"
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return "", "", err
	}
	if sum, err = ParseSum(string(text), base(image)); err != nil {
		return "", "", fmt.Errorf("%s: %w; give it by --sha256, or take the file away", file, err)
	}
	return sum, file, nil
}
