package bootfiles

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Setup is what the first boot makes of a system. What is empty is left as it is.
type Setup struct {
	Program []byte // a static binary for Linux on ARM
	Config  []byte // of provision
	Units   []Unit // of systemd, enabled
	// Hostname is one label of a name.
	Hostname string
	// User gets Hash as the hash of the password ("*": none fits) and Keys, lines of
	// authorized_keys; without a user Keys are of the one with the user id 1000.
	User, Hash string
	Keys       string
	SSH        bool // the server is switched on
	// Wifi is a network's file: of the system, or of cloud-init on the boot partition.
	Wifi File
	// Country switches the radio on; two capital letters.
	Country string
	// OldNames leaves network interfaces the kernel's names: eth0, wlan0.
	OldNames bool
}

// Unit is one of systemd.
type Unit struct {
	Name, Text string
}

// NetworkConfig is cloud-init's file for the network on the boot partition; a Wifi of
// that path is read by cloud-init itself, any other is where the system has it.
const NetworkConfig = "network-config"

// Where the first boot puts things.
const (
	programPath = "/usr/local/bin/provision"
	configPath  = "/etc/provision/provision.yaml"
	unitDir     = "/etc/systemd/system"
	accountPath = "/etc/provision/first-boot.account"
	keysPath    = "/etc/provision/first-boot.keys"
)

// account makes the user, or finds it, and gives it its password's hash, which stands
// in no argument. A system whose first user waits for a name (Raspberry Pi OS since
// 2022) has a program for that.
const account = `u=$1; f=$2; h=$(cut -d: -f2 "$f"); g=; ` +
	`for x in sudo adm dialout cdrom audio video plugdev users input netdev render gpio i2c spi; do getent group $x >/dev/null && g=$g,$x; done; ` +
	`if ! id -u "$u" >/dev/null 2>&1; then ` +
	`if [ -x /usr/lib/userconf-pi/userconf ] && getent passwd 1000 >/dev/null; then /usr/lib/userconf-pi/userconf "$u" "$h"; ` +
	`else useradd -m -s /bin/bash "$u"; fi; fi; ` +
	`usermod -aG "${g#,}" "$u"; chpasswd -e <"$f" && rm -f "$f"`

// keys are added to what the user has.
const keys = `u=$1; f=$2; [ -n "$u" ] || u=$(getent passwd 1000 | cut -d: -f1); d=$(getent passwd "$u" | cut -d: -f6); [ -d "$d" ] || exit 1; ` +
	`g=$(id -gn "$u"); a=$d/.ssh/authorized_keys; mkdir -p "$d/.ssh" && touch "$a" || exit 1; while read -r k; do grep -qxF -- "$k" "$a" || printf '%s\n' "$k" >>"$a"; done <"$f"; ` +
	`chown -R "$u:$g" "$d/.ssh" && chmod 700 "$d/.ssh" && chmod 600 "$a" && rm -f "$f"`

// names makes /etc/hosts know the new name.
const names = `h=$1; if grep -q '^127\.0\.1\.1[[:space:]]' /etc/hosts; then sed -i "s/^127\.0\.1\.1[[:space:]].*/127.0.1.1\t$h/" /etc/hosts; else printf '127.0.1.1\t%s\n' "$h" >>/etc/hosts; fi`

// radio switches the radio on, which Raspberry Pi OS keeps off until it knows the
// country: rfkill's state that is restored at boot, and NetworkManager's own.
const radio = `for f in /var/lib/systemd/rfkill/*:wlan; do [ ! -e "$f" ] || echo 0 >"$f"; done; ` +
	`f=/var/lib/NetworkManager/NetworkManager.state; [ ! -e "$f" ] || sed -i s/^WirelessEnabled=false/WirelessEnabled=true/ "$f"; ` +
	`! command -v rfkill >/dev/null || rfkill unblock wifi`

// Options are what to put on the boot partition of a release for the setup. The files
// of cloud-init have to be free, see [Theirs].
func (s Setup) Options(r Release) (Options, error) {
	if err := s.Check(); err != nil {
		return Options{}, err
	}
	o := Options{Dir: r.Dir, Called: r.Hook == CloudInit}
	var installs []Install
	var commands [][]string
	put := func(name string, data []byte, to string, mode uint32) {
		from := path.Join(Folder, name)
		o.Files = append(o.Files, File{from, data, true})
		installs = append(installs, Install{from, to, mode, true})
	}
	if s.Program != nil {
		o.Files = append(o.Files, File{Path: "provision", Data: s.Program})
		installs = append(installs, Install{From: "provision", To: programPath, Mode: 0o755})
	}
	if s.Config != nil {
		put("provision.yaml", s.Config, configPath, 0o600)
	}
	var units []string
	for _, u := range s.Units {
		put(u.Name, []byte(u.Text), path.Join(unitDir, u.Name), 0o644)
		units = append(units, u.Name)
	}
	switch {
	case s.Wifi.Data == nil:
	case path.IsAbs(s.Wifi.Path):
		put(path.Base(s.Wifi.Path), s.Wifi.Data, s.Wifi.Path, 0o600)
	default:
		o.Files = append(o.Files, File{s.Wifi.Path, s.Wifi.Data, true})
		installs = append(installs, Install{From: s.Wifi.Path, Secret: true})
		// Releases of cloud-init before 23 write it for everybody to read.
		commands = append(commands, []string{"sh", "-c", `for f in /etc/netplan/50-cloud-init.yaml; do [ ! -e "$f" ] || chmod 600 "$f"; done`, "netplan"})
	}
	if s.Hostname != "" && !o.Called { // cloud-init keeps the name itself
		put("hostname", []byte(s.Hostname+"\n"), "/etc/hostname", 0o644)
		commands = append(commands, []string{"sh", "-c", names, "hostname", s.Hostname})
	}
	if s.User != "" {
		put("account", []byte(s.User+":"+s.Hash+"\n"), accountPath, 0o600)
		commands = append(commands, []string{"sh", "-c", account, "account", s.User, accountPath})
	}
	if s.Keys != "" {
		put("keys", []byte(s.Keys), keysPath, 0o600)
		commands = append(commands, []string{"sh", "-c", keys, "keys", s.User, keysPath})
	}
	if s.Country != "" {
		// The kernel's own parameter: whoever manages the device, it holds.
		o.Add = append(o.Add, "cfg80211.ieee80211_regdom="+s.Country)
		o.Drop = append(o.Drop, "cfg80211.ieee80211_regdom=")
		commands = append(commands, []string{"sh", "-c", radio, "radio"})
	}
	if s.OldNames {
		o.Add = append(o.Add, "net.ifnames=0")
	}
	if s.SSH {
		units = append(units, "ssh.service")
	}
	if len(units) > 0 {
		commands = append(commands, append([]string{"systemctl", "enable"}, units...))
	}
	if o.Called {
		// No reboot follows. Whoever waited here for a unit might wait for ever: units may
		// be ordered after cloud-init.
		commands = append(commands, []string{"systemctl", "daemon-reload"})
		if len(units) > 0 {
			commands = append(commands, append([]string{"systemctl", "start", "--no-block"}, units...))
		}
		o.Files = append(o.Files, File{Path: "user-data", Data: []byte(s.userData(r.Dir))})
	}
	var err error
	o.Script, err = Script(r.Dir, installs, commands)
	return o, err
}

// userData is what cloud-init is told. It has no secrets: cloud-init keeps copies.
func (s Setup) userData(dir string) string {
	var b strings.Builder
	b.WriteString("#cloud-config\n" + Mark + "\n")
	if s.Hostname != "" {
		b.WriteString("hostname: " + s.Hostname + "\nmanage_etc_hosts: localhost\n")
	}
	if s.User != "" {
		// In place of the distribution's own first user. The script gives it groups, password and keys.
		b.WriteString("users:\n- name: " + s.User + "\n  shell: /bin/bash\n")
	}
	// The units of cloud-init have no time limit.
	fmt.Fprintf(&b, "runcmd:\n- [timeout, '600', sh, '%s']\n", path.Join(dir, ScriptName))
	return b.String()
}

// Theirs reports whether a file of cloud-init says something of its own: more than
// comments, and not by us. Zeros are what an interruption leaves of a secret of ours.
func Theirs(text []byte) bool {
	if strings.Contains(string(text), Mark) || blank(text) {
		return false
	}
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line != "---" {
			return true
		}
	}
	return false
}

// Check says all that is wrong with it.
func (s Setup) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	const small, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	if h := s.Hostname; h != "" && (len(h) > 63 || strings.Trim(h, small+digits+"-") != "" || h[0] == '-' || h[len(h)-1] == '-') {
		bad("%q is no name for a host: small letters, digits and hyphens, at most 63 (RFC 1123, section 2.1)", h)
	}
	switch u := s.User; {
	case u == "root":
		bad("root is there already: name somebody else, who may use sudo")
	case u != "" && (len(u) > 32 || strings.Trim(u, small+digits+"_-") != "" || !strings.Contains(small+"_", u[:1])):
		bad("%q is no name for a user: small letters, digits, _ and -, a letter first, at most 32 (useradd(8))", u)
	case u != "" && s.Hash == "":
		bad("the user %s has neither a password nor a key: nobody could log in", u)
	}
	if strings.ContainsAny(s.Hash, ":\r\n\x00 ") {
		bad("the hash of the password has characters that no line of /etc/shadow can have")
	}
	if s.Keys != "" {
		if err := CheckKeys(s.Keys); err != nil {
			errs = append(errs, err)
		}
	}
	if c := s.Country; c != "" && (len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		bad("%q is no country: two capital letters of ISO 3166-1, such as DE or US", c)
	}
	if s.Wifi.Data != nil && s.Country == "" {
		bad("Wi-Fi needs the country: it decides which channels may be used, and the radio stays off without")
	}
	return errors.Join(errs...)
}

// CheckKeys wants lines of authorized_keys (sshd(8)) with public keys, and comments.
func CheckKeys(text string) error {
	n := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.Contains(line, "PRIVATE KEY") {
			return errors.New("this is the private half of the key, which stays where it is: take the file that ends in .pub")
		}
		if n++; !publicKey(line) {
			return fmt.Errorf("line %d is no public key as ssh-keygen writes it (ssh-ed25519 AAAA...)", n)
		}
	}
	if n == 0 {
		return errors.New("there is no public key in it")
	}
	return nil
}

// publicKey: the key proper begins with its own type (RFC 4253, section 6.6). Options
// may stand before it.
func publicKey(line string) bool {
	words := strings.Fields(line)
	for i := range len(words) - 1 {
		raw, err := base64.StdEncoding.DecodeString(words[i+1])
		if err != nil || len(raw) < 4 {
			continue
		}
		if n := binary.BigEndian.Uint32(raw); int64(n) < int64(len(raw)-4) && string(raw[4:4+n]) == words[i] {
			return true
		}
	}
	return false
}
