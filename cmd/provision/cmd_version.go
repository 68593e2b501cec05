package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

// versionInfo is what version prints as JSON.
type versionInfo struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{version, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return g.emit(v, func(p *page) { p.line("provision %s (%s, %s/%s)", v.Version, v.Go, v.OS, v.Arch) })
		},
	}
}
