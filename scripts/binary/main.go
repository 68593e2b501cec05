// Command binary judges release binaries: it prints the size of each file named, and fails when a Linux one is over the
// ceiling or is not static. It needs neither file(1) nor readelf(1).
package main

import (
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	ceiling := flag.Int64("ceiling", 15_000_000, "largest size of a Linux binary in `bytes`")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "binary: name the files to judge")
		os.Exit(64)
	}
	var errs []error
	for _, path := range flag.Args() {
		errs = append(errs, judge(os.Stdout, path, *ceiling))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// judge prints the file's size; what is not an ELF file (Windows, macOS) is only weighed.
func judge(out io.Writer, path string, ceiling int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-34s %6.2f MB\n", path, float64(info.Size())/1e6)
	magic := make([]byte, len(elf.ELFMAG))
	if _, err := file.ReadAt(magic, 0); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if string(magic) != elf.ELFMAG {
		return nil
	}
	f, err := elf.NewFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	if info.Size() > ceiling {
		errs = append(errs, fmt.Errorf("%s: %d bytes are over the ceiling of %d", path, info.Size(), ceiling))
	}
	// elf(5): a program that PT_INTERP's dynamic linker has to start, or that DT_NEEDED binds to a library, is not static.
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			errs = append(errs, fmt.Errorf("%s: not static: it has a program interpreter", path))
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	} else if len(libs) > 0 {
		errs = append(errs, fmt.Errorf("%s: not static: it needs %v", path, libs))
	}
	return errors.Join(errs...)
}
