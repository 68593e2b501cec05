package routing

import "testing"

// Nothing configured is not looked through, since nothing can be wrong with it: neither what every room says of its own empty
// part, which the check of a nearly empty configuration asks for, nor the whole.
func TestNothingConfigured(t *testing.T) {
	if p := (Config{}).Problems(); len(p) > 0 {
		t.Errorf("an empty configuration: %v", p)
	}
	var nearly Config
	nearly.Groups = map[string][]string{}
	if p := nearly.Problems(); len(p) > 0 {
		t.Errorf("a nearly empty configuration: %v", p)
	}
}
