package shacrypt

import (
	"crypto/rand"
	"os/exec"
	"strings"
	"testing"
)

// TestVectors are those of the specification, for SHA-512.
func TestVectors(t *testing.T) {
	for _, v := range []struct{ setting, password, want string }{
		{"$6$saltstring", "Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"$6$rounds=10000$saltstringsaltstring", "Hello world!", "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
		{"$6$rounds=5000$toolongsaltstring", "This is just a test", "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0"},
		{"$6$rounds=1400$anotherlongsaltstring", "a very much longer text to encrypt.  This one even stretches over morethan one line.", "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1"},
		{"$6$rounds=77777$short", "we have a short salt string but not a short password", "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0"},
		{"$6$rounds=123456$asaltof16chars..", "a short string", "$6$rounds=123456$asaltof16chars..$BtCwjqMJGx5hrJhZywWvt0RLE8uZ4oPwcelCjmw2kSYu.Ec6ycULevoBK25fs2xXgMNrCzIMVcgEJAstJeonj1"},
		{"$6$rounds=10$roundstoolow", "the minimum number is still observed", "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX."},
	} {
		salt, rounds, said, err := parse(v.setting)
		if err != nil {
			t.Fatal(err)
		}
		got := crypt(v.password, salt, rounds, said)
		if got != v.want {
			t.Errorf("%s of %q is\n%s, want\n%s", v.setting, v.password, got, v.want)
		}
		if !Verify(got, v.password) || Verify(got, v.password+"x") {
			t.Errorf("%s is not told from others", got)
		}
	}
	for _, bad := range []string{"", "$5$a$b", "$y$j9T$a$b", "$6$rounds=x$a$b", "$6$rounds=999999999$a$b", "$6$"} {
		if Verify(bad, "") {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestJudge: openssl makes the same of the passwords that people have.
func TestJudge(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("skipped: no openssl to judge")
	}
	for _, password := range []string{"raspberry", "it's \"odd\" $HOME `id` \\", "ümläut 😀", strings.Repeat("long ", 30), ":colon:", " blanks "} {
		hash, err := Hash(password, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		salt, _, _, err := parse(hash)
		if err != nil || len(salt) != maxSalt {
			t.Fatalf("%q: %v", hash, err)
		}
		cmd := exec.Command("openssl", "passwd", "-6", "-salt", salt, "-stdin")
		cmd.Stdin = strings.NewReader(password + "\n")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(out)); got != hash {
			t.Errorf("%q: openssl says %s, not %s", password, got, hash)
		}
	}
}
