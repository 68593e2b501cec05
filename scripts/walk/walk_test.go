package walk

import (
	"reflect"
	"strings"
	"testing"
)

func TestSteps(t *testing.T) {
	page := strings.ReplaceAll(`# A page

'''yaml
version: 1
serve:
  domain: lan
'''

'''yaml
serve: {domain: lan}
'''

    sudo provision apply    # with a remark
    this is no command

1. In a list:

   '''sh
   # nothing but a remark
   provision plan | tee a

   provision verify
   '''

   '''yaml
   version: 1
   gadget:
     profile: auto
   '''

'''console
$ sudo provision wifi list
NAME  STATE
'''

'''text
provision revert
'''
`, "'''", "```")
	want := []Step{
		{4, "", "version: 1\nserve:\n  domain: lan\n"},
		{13, "sudo provision apply", ""},
		{20, "provision plan | tee a", ""},
		{22, "provision verify", ""},
		{26, "", "version: 1\ngadget:\n  profile: auto\n"},
		{32, "sudo provision wifi list", ""},
	}
	if got := Loose(page); !reflect.DeepEqual(got, []string{"provision revert"}) {
		t.Errorf("loose: %q", got)
	}
	if got := Steps(page); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}
