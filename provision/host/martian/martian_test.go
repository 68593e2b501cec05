package martian

import "testing"

func TestCounters(t *testing.T) {
	netstat := "TcpExt: SyncookiesSent IPReversePathFilter TCPTimeouts\nTcpExt: 1 23 4\nIpExt: InNoRoutes\nIpExt: 5\n"
	if n, err := reversePath(netstat); n != 23 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := reversePath("TcpExt: A\nTcpExt: 1\n"); err == nil {
		t.Error("a counter that is not there")
	}
	cache := "entries  in_hit in_martian_dst in_martian_src\n00000005 00000000 00000001 0000000a\n00000005 00000000 00000002 00000001\n"
	if s, d, err := cacheStat(cache); s != 11 || d != 3 || err != nil {
		t.Errorf("got %d, %d, %v", s, d, err)
	}
	for _, bad := range []string{"", "entries\n00000001\n", "in_martian_src\nxyz\n"} {
		if _, _, err := cacheStat(bad); err == nil {
			t.Errorf("%q has counters", bad)
		}
	}
}

func FuzzCounters(f *testing.F) {
	f.Add("TcpExt: A IPReversePathFilter\nTcpExt: 1 2\n")
	f.Add("entries in_martian_src\n00000001 0000000a\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = reversePath(text)
		_, _, _ = cacheStat(text)
	})
}
