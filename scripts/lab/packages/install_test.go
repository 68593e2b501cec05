//go:build lab && linux

package packages

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// release is what install.sh takes of one version's packages.
func release(t *testing.T, dir, prefix string, files map[string]string) {
	t.Helper()
	for _, name := range []string{"install.sh", "SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.sshsig"} {
		files[prefix+name] = one(t, dir, name)
	}
	archive := one(t, dir, "provision-*-linux-"+arch("deb")+".tar.gz")
	files[filepath.Base(archive)] = archive
}

// site serves the folder it is started in at the guide's address, https://HOST, for curl and whoever else reads root's curlrc.
const site = `
echo "127.0.0.1 HOST $(uname -n)" >> /etc/hosts
ip link set lo up
echo cacert=/tmp/in/site.cert > ~/.curlrc
python3 -c '
import http.server, os, ssl
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), http.server.SimpleHTTPRequestHandler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("site.cert", "site.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
if os.fork(): # the shell goes on when the socket listens
    os._exit(0)
server.serve_forever()' 2>&1
`

// install.sh in Debian's roots: without OpenSSH and OpenSSL it refuses; with OpenSSH and the guide's commands it installs, then
// upgrades, takes back its units and leaves nothing after a purge. Its other refusals are shown beside it, in scripts/packaging/release.
func TestInstallScript(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	release(t, packages(t, first), "old.", files)
	release(t, packages(t, later), "next.", files)
	files["site.key"], files["site.cert"] = filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "cert")
	output(t, "openssl", "req", "-x509", "-newkey", "ed25519", "-noenc", "-keyout", files["site.key"], "-out", files["site.cert"], "-subj", "/CN=HOST", "-addext", "subjectAltName=DNS:HOST")
	const prepare = `
cd /tmp/in
for v in old next; do mkdir $v; for f in $v.*; do mv $f $v/${f#$v.}; done; done
mv provision-1.0.0-* old/; mv provision-1.1.0-* next/
`
	out := chrooted(t, lab.Root(t, "bookworm-base"), files, prepare+`
sh old/install.sh --from old && echo INSTALLED
ls /usr/local/bin
mkdir -p /run/systemd/system /var/lib/provision/engine
printf '#!/bin/sh\necho "cannot $1"\nexit 1\n' > /usr/local/bin/provision
chmod 755 /usr/local/bin/provision
sh old/install.sh --uninstall --purge
[ ! -d /var/lib/provision/engine ] || echo STATE KEPT
[ -e /usr/local/bin/provision ] || echo PROGRAM GONE
`)
	for _, want := range []string{"cannot revert", "it could not go back (status 1)", "STATE KEPT", "PROGRAM GONE"} {
		if !strings.Contains(out, want) {
			t.Errorf("a removal that cannot go back does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "INSTALLED") || !strings.Contains(out, "neither ssh-keygen") || strings.Contains(out, "\nprovision\n") {
		t.Errorf("without a verifier:\n%s", out)
	}
	guide, err := installPage("With the install script")
	if err != nil {
		t.Fatal(err)
	}
	out = chrooted(t, lab.Root(t, "bookworm-netplan+openssh-client+sudo+curl+less"), files, prepare+site+`
find / -xdev ! -path '/proc/*' ! -path '/tmp/*' ! -path '/run/*' ! -type d | sort > /tmp/before
sh next/install.sh --from old && echo WRONG RELEASE TAKEN
mv old PATH
mkdir load
cd load
`+guide[0]+`
cd ..
ls /etc/systemd/system/sysinit.target.wants/provision-early.service /etc/systemd/system/multi-user.target.wants/provision.service
systemctl disable provision.service
echo '# mine' >> /etc/provision/provision.yaml
sh next/install.sh --from next
echo "now: $(/usr/local/bin/provision version)"
grep '# mine' /etc/provision/provision.yaml
ls /etc/systemd/system/multi-user.target.wants | sed 's/^/enabled: /'
systemd-analyze verify --man=no provision.service provision-early.service provision-serve.service provision-watch.service 2>&1 | grep provision | sed 's/^/systemd says: /'
sh next/install.sh --uninstall --purge
find / -xdev ! -path '/proc/*' ! -path '/tmp/*' ! -path '/run/*' ! -type d | sort | diff /tmp/before - | sed 's/^/left: /'
`)
	for _, want := range []string{"installs, upgrades or removes provision from the release's archive", "GET /PATH/SHA256SUMS.sshsig", "from='https://HOST/PATH'",
		"provision 1.0.0 is installed", "provision is now 1.1.0", "now: provision v1.1.0", "# mine\n", "\nprovision is removed, with its configuration"} {
		if !strings.Contains(out, want) {
			t.Errorf("nobody said %q", want)
		}
	}
	for _, not := range []string{"WRONG RELEASE TAKEN", "enabled: provision.service", "systemd says", "left: "} {
		if strings.Contains(out, not) {
			t.Errorf("it says %q", not)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// The extension is merged into a root's /usr by systemd-sysext, its program runs there, and unmerged it is gone; one of another
// architecture is left out.
func TestSystemExtension(t *testing.T) {
	t.Parallel()
	archive := one(t, packages(t, first), "*-linux-"+arch("deb")+".sysext.tar.gz")
	if _, err := exec.LookPath("systemd-sysext"); err != nil {
		t.Skipf("skipped: %v", err)
	}
	// It mounts in a namespace of its own, so what it mounts has to be shared with ours; it wants /run to be a mount.
	out := output(t, "unshare", "-m", "sh", "-ec", `
mount --make-rshared /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs "$0"
cd "$0"
mkdir -p usr/bin usr/lib etc opt var/lib/extensions
printf 'ID=other\nVERSION_ID=1\n' > usr/lib/os-release
ln -s ../usr/lib/os-release etc/os-release
tar -xzf "$1" -C var/lib/extensions
systemd-sysext --root="$0" merge
echo "merged: $(chroot . /usr/bin/provision version)"
ls usr/lib/systemd/system usr/share/man/man8
systemd-sysext --root="$0" unmerge
ls usr/bin | sed 's/^/left: /'
sed -i 's/^ARCHITECTURE=.*/ARCHITECTURE=s390x/' var/lib/extensions/provision/usr/lib/extension-release.d/extension-release.provision
systemd-sysext --root="$0" merge
ls usr/bin | sed 's/^/foreign: /'
`, t.TempDir(), archive)
	for _, want := range []string{"merged: provision v1.0.0", "provision-watch.service\n", "provision-apply.8.gz\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "left: ") || strings.Contains(out, "foreign: ") {
		t.Errorf("the program is there when it should not be:\n%s", out)
	}
}
