package transcript

import (
	"os"
	"path/filepath"
)

// Recording and Page are the files below the repository's root which hold the transcript.
func Recording(repository string) string { return filepath.Join(repository, "docs", "transcript.cast") }

// Page is the README.
func Page(repository string) string { return filepath.Join(repository, "README.md") }

// Shown is the README's block: of a long report only what a reader looks for first.
func Shown(steps []Step) string { return Block(steps, "NICs", "way out", "default routes") }

// Write makes both files anew. A recording that differs in nothing but what each run has otherwise stays.
func Write(repository, title string, steps []Step) error {
	if old, err := os.ReadFile(Recording(repository)); err == nil {
		if kept, err := Parse(old); err == nil && Steady(kept) == Steady(steps) {
			steps = kept
		}
	}
	cast, err := Cast(title, steps)
	if err != nil {
		return err
	}
	page, err := os.ReadFile(Page(repository))
	if err != nil {
		return err
	}
	text, err := Put(string(page), Shown(steps))
	if err != nil {
		return err
	}
	if err := os.WriteFile(Page(repository), []byte(text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(Recording(repository), cast, 0o644)
}
