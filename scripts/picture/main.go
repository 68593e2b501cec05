// Command picture draws docs/data-way.svg from its description in dataway.go, so that it can be mended like code.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: picture FILE.svg")
		os.Exit(64)
	}
	if err := os.WriteFile(os.Args[1], []byte(draw(dataWay())), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write the picture:", err)
		os.Exit(1)
	}
}
