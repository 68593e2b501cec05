package main

import (
	"compress/gzip"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// cloudConfig is what cloud-init reads of our user-data.
type cloudConfig struct {
	WriteFiles []writeFile `yaml:"write_files"`
	RunCmd     [][]string  `yaml:"runcmd"`
}

func parseUserData(t *testing.T, text string) cloudConfig {
	t.Helper()
	if !strings.HasPrefix(text, "#cloud-config\n") { // cloud-init takes it for a part of unknown type otherwise
		t.Fatalf("it begins with %.40q", text)
	}
	var all map[string]yaml.Node
	var c cloudConfig
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	for key := range all {
		if key != "write_files" && key != "runcmd" {
			t.Errorf("%s: only write_files and runcmd are run in a stage where this is safe", key)
		}
	}
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// parts takes a MIME message apart, as cloud-init does: the cloud-config and the script.
func parts(t *testing.T, text string) (config, script string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	var out []string
	for _, kind := range []string{"text/cloud-config", "text/x-shellscript"} {
		p, err := r.NextPart()
		if err != nil || p.Header.Get("Content-Type") != kind {
			t.Fatalf("%v: no %s", err, kind)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	if p, err := r.NextPart(); err != io.EOF { // a boothook would be one
		t.Errorf("there is one more part: %+v %v", p, err)
	}
	return out[0], out[1]
}

// unpack runs the script that unpacks what came along, in a folder of the test.
func unpack(t *testing.T, script, file string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(script, payloadDir, dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, filepath.Base(file)))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestHookCloudInit(t *testing.T) {
	const config = "version: 1\n\n# äöü: \"quoted\"\nnetwork:\n  nics:\n    - match: {name: eth0}\n"
	file := write(t, "provision.yaml", config)
	payload := write(t, "provision_1.0.0-1_amd64.deb", "\x00\x01binary\xff")
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("unpacked")); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("Ab", 32)
	for _, tt := range []struct {
		args  []string
		want  []string // the script's arguments
		files []writeFile
	}{
		{nil, []string{"image", "", ""}, nil},
		{[]string{"--config", file}, []string{"image", "", ""}, []writeFile{{"/etc/provision/provision.yaml", "0600", config}}},
		{[]string{"--url", "https://example.net/a/provision.rpm", "--sha256", sum}, []string{"url", "https://example.net/a/provision.rpm", strings.ToLower(sum)}, nil},
		{[]string{"--file", "/opt/it's here.deb"}, []string{"file", "/opt/it's here.deb", ""}, nil},
		{[]string{"--embed", payload, "--time-limit", "90s"}, []string{"file", payloadDir + "/provision_1.0.0-1_amd64.deb", ""}, nil},
		{[]string{"--embed", write(t, "it's.gz", packed.String())}, []string{"file", payloadDir + "/it's", ""}, nil},
	} {
		code, out, errs := call(t, append([]string{"hook", "cloud-init"}, tt.args...)...)
		if code != 0 {
			t.Errorf("%v: status %d, %s", tt.args, code, errs)
			continue
		}
		if strings.Contains(strings.Join(tt.args, " "), "--embed") {
			var script string
			out, script = parts(t, out)
			want := map[bool]string{true: "unpacked", false: "\x00\x01binary\xff"}[strings.HasSuffix(tt.args[1], ".gz")]
			if _, err := exec.LookPath("sh"); err != nil {
				t.Logf("skipped: nothing unpacks it: %v", err)
			} else if got := unpack(t, script, tt.want[1]); got != want {
				t.Errorf("%v: %q comes out of\n%s", tt.args, got, script)
			}
		}
		c := parseUserData(t, out)
		limit := "300"
		if len(tt.args) == 4 && tt.args[2] == "--time-limit" {
			limit = "90"
		}
		want := append([]string{"timeout", "-k", "10", limit, "sh", "-c", cloudInitScript, "provision"}, tt.want...)
		if len(c.RunCmd) != 1 || strings.Join(c.RunCmd[0], "\x00") != strings.Join(want, "\x00") {
			t.Errorf("%v: runcmd %q", tt.args, c.RunCmd)
		}
		if len(c.WriteFiles) != len(tt.files) || len(tt.files) == 1 && c.WriteFiles[0] != tt.files[0] {
			t.Errorf("%v: write_files %+v", tt.args, c.WriteFiles)
		}
	}
}

func TestHookCloudInitRefuses(t *testing.T) {
	broken := write(t, "broken.yaml", "version: 1\nnetwrk: {}\n")
	wide := write(t, "wide.yaml", "\xff\xfev\x00e\x00r\x00s\x00i\x00o\x00n\x00:\x00 \x001\x00\n\x00")
	for _, tt := range []struct{ args, want string }{
		{"--url https://example.net/provision", "needs --sha256"},
		{"--url ftp://example.net/provision --sha256 " + strings.Repeat("0", 64), "not the http or https address"},
		{"--url https://example.net/ --sha256 " + strings.Repeat("0", 64), "not the http or https address"},
		{"--url https://example.net --sha256 " + strings.Repeat("0", 64), "not the http or https address"},
		{"--url https://example.net/x --sha256 abc", "not the 64 hexadecimal digits"},
		{"--sha256 " + strings.Repeat("0", 64), "belongs to --url or --file"},
		{"--file provision.deb", "not an absolute path"},
		{"--file /a --embed /b", "comes from one place"},
		{"--time-limit 0s", "leaves no time"},
		{"--config " + broken, "unknown key"},
		{"--config " + wide, "it is UTF-16"},
	} {
		code, out, errs := call(t, append([]string{"hook", "cloud-init"}, strings.Fields(tt.args)...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: status %d, %q, %s", tt.args, code, out, errs)
		}
	}
	if code, _, errs := call(t, "hook", "cloud-init", "--embed", "/nowhere/at/all"); code != exitUsage || !strings.Contains(errs, "cannot read what --embed names") {
		t.Errorf("status %d, %s", code, errs)
	}
}

// The same data are the same instance, other data another one; files of somebody else are not touched.
func TestHookCloudInitSeed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seed")
	meta := func(args ...string) string {
		t.Helper()
		if code, _, errs := call(t, append([]string{"hook", "cloud-init", "--seed", dir}, args...)...); code != 0 {
			t.Fatalf("status %d, %s", code, errs)
		}
		text, err := os.ReadFile(filepath.Join(dir, "meta-data"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := meta()
	network, err := os.ReadFile(filepath.Join(dir, "network-config"))
	if err != nil || !strings.Contains(string(network), `match: {name: "e*"}`) {
		t.Errorf("%v %s", err, network)
	}
	if again := meta(); again != first || !strings.Contains(first, "\ninstance-id: provision-") {
		t.Errorf("%q and then %q", first, again)
	}
	config := write(t, "provision.yaml", "version: 1\nnetwork:\n  nics:\n    - match: {name: enp0s8}\n    - match: {name: \"wl*\"}\n")
	if other := meta("--config", config); other == first {
		t.Error("other data, and the same instance")
	}
	network, err = os.ReadFile(filepath.Join(dir, "network-config"))
	var parsed struct {
		Version   int
		Ethernets map[string]struct{ DHCP4, DHCP6 bool }
	}
	if err != nil || yaml.Unmarshal(network, &parsed) != nil || parsed.Version != 2 || len(parsed.Ethernets) != 1 || !parsed.Ethernets["enp0s8"].DHCP4 {
		t.Errorf("%v %s", err, network)
	}
	if err := os.WriteFile(filepath.Join(dir, "user-data"), []byte("#cloud-config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := call(t, "hook", "cloud-init", "--seed", dir); code != exitFailed || !strings.Contains(errs, "is not from this command") {
		t.Errorf("status %d, %s", code, errs)
	}
}

// The script is one that every /bin/sh can read.
func TestCloudInitScript(t *testing.T) {
	for _, shell := range [][]string{{"dash", "-n"}, {"bash", "--posix", "-n"}, {"busybox", "sh", "-n"}} {
		path, err := exec.LookPath(shell[0])
		if err != nil {
			t.Logf("no %s here", shell[0])
			continue
		}
		cmd := exec.Command(path, shell[1:]...)
		cmd.Stdin = strings.NewReader(cloudInitScript)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %v: %s", shell, err, out)
		}
	}
}

// The commands of the guide, as they stand there.
func TestCloudInitPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/cloud-init.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs("../../docs/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	shell := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "```") {
			shell = line == "```sh\n"
			continue
		}
		if !shell {
			continue
		}
		line, _, _ = strings.Cut(strings.TrimSpace(line), " > ")
		dir := filepath.Join(t.TempDir(), "seed")
		line = strings.NewReplacer("docs/minimal.yaml", example, "--seed seed", "--seed "+dir).Replace(strings.TrimPrefix(line, "provision "))
		code, out, errs := call(t, strings.Fields(line)...)
		if code != 0 || out == "" {
			t.Errorf("%s: status %d, %s", line, code, errs)
		}
		if strings.Contains(line, "--seed") {
			data, err := os.ReadFile(filepath.Join(dir, "user-data"))
			if err != nil {
				t.Fatal(err)
			}
			out = string(data)
		}
		parseUserData(t, out)
		ran++
	}
	if ran < 4 {
		t.Errorf("only %d commands: the page was not read", ran)
	}
}
