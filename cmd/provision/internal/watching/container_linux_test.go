package watching

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision/host/nstest"
)

// In a container /proc/sys is read-only, and the host's is elsewhere.
func TestParametersInAContainer(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add eth0 type veth peer name x0")
	if _, err := os.Stat(hostRoot); err != nil {
		if err := os.Mkdir(hostRoot, 0o755); err != nil {
			t.Skipf("skipped: cannot make %s: %v", hostRoot, err)
		}
		t.Cleanup(func() { os.Remove(hostRoot) })
	}
	nstest.Mount(t, "tmpfs", hostRoot, "tmpfs", 0, "")
	if err := os.MkdirAll(hostRoot+"/proc/sys/net", 0o755); err != nil {
		t.Fatal(err)
	}
	nstest.Mount(t, "/proc/sys/net", hostRoot+"/proc/sys/net", "", unix.MS_BIND, "")
	nstest.Mount(t, "/proc/sys", "/proc/sys", "", unix.MS_BIND|unix.MS_REC, "")
	if err := unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	const key = "/proc/sys/net/ipv4/conf/eth0/rp_filter"
	if err := os.WriteFile(key, []byte("2"), 0); err == nil {
		t.Fatal("it is not read-only")
	}
	p, err := Parameters()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteValue(key, "2\n"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(key); strings.TrimSpace(string(got)) != "2" {
		t.Errorf("it is %q", got)
	}
}

// All that the manifest grants is enough: user 0 with CAP_NET_ADMIN and nothing else.
func TestLeastCapabilities(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("skipped: no setpriv(1); install util-linux")
	}
	n := newNode(t)
	n.in.Sh("ip route del default table 2")
	c := eks(t)
	c.Under = []string{"setpriv", "--bounding-set", "-all,+net_admin", "--inh-caps", "-all"}
	p := start(t, n.in, c)
	p.find(0, "the route", repaired("tables", "IPv4 table 2"))
	p.find(0, "the filter", repaired("rp-filter", "eth1"))
	poll(t, "the memory", func() bool {
		text, _ := Memory(c.Memory).Load()
		return strings.Contains(string(text), "IPv4 table 2")
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000001000") {
		t.Errorf("its capabilities: %v\n%s", err, status)
	}
}

// The manifest asks for no more than is needed, and for all of it.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/examples/eks-daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Kind string
		Spec struct {
			Template struct {
				Spec struct {
					HostNetwork bool              `yaml:"hostNetwork"`
					Selector    map[string]string `yaml:"nodeSelector"`
					Containers  []struct {
						Args    []string
						Context struct {
							Privileged, AllowPrivilegeEscalation bool
							Capabilities                         struct{ Add, Drop []string }
						} `yaml:"securityContext"`
						Mounts []struct {
							Name string
							Path string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
					Volumes []struct {
						Name string
						Path struct{ Path string } `yaml:"hostPath"`
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	pod := m.Spec.Template.Spec
	if m.Kind != "DaemonSet" || !pod.HostNetwork || pod.Selector["kubernetes.io/os"] != "linux" || len(pod.Containers) != 1 {
		t.Fatalf("%+v", m)
	}
	c := pod.Containers[0]
	if !slices.Equal(c.Args, []string{"watch", "--preset", "eks"}) || c.Context.Privileged || !slices.Equal(c.Context.Capabilities.Drop, []string{"ALL"}) || !slices.Equal(c.Context.Capabilities.Add, []string{"NET_ADMIN"}) {
		t.Errorf("%+v", c)
	}
	for _, mount := range c.Mounts {
		want := map[string]string{hostRoot + "/proc/sys/net": "/proc/sys/net", "/run/provision": "/run/provision"}[mount.Path]
		i := slices.IndexFunc(pod.Volumes, func(v struct {
			Name string
			Path struct{ Path string } `yaml:"hostPath"`
		}) bool {
			return v.Name == mount.Name
		})
		if want == "" || i < 0 || pod.Volumes[i].Path.Path != want {
			t.Errorf("mount %+v", mount)
		}
	}
	if !strings.HasPrefix(string(MemoryPath), "/run/provision/") {
		t.Errorf("the memory is in %s", MemoryPath)
	}
}
