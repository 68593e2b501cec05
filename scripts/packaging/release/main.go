// release pins a key in the install script and signs SHA256SUMS, so that ssh-keygen and openssl can both verify it: whoever
// installs has one of them.
//
//	release pin PUBLIC|"" VERSION URL|"" TAKEBACK < install.sh
//	release sign PRIVATE PUBLIC FILE     writes FILE.sig (64 bytes, RFC 8032 section 5.1.6) and FILE.sshsig
//
// Keys are Ed25519 in PEM: PKCS #8 and SubjectPublicKeyInfo (RFC 8410 sections 7 and 4), as `openssl genpkey` and `openssl
// pkey -pubout` write them.
package main

import (
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// namespace keeps a signature of this key for one purpose from being taken for another (OpenSSH, PROTOCOL.sshsig).
const namespace = "provision"

func main() {
	err := errors.New("give pin PUBLIC VERSION URL TAKEBACK, or sign PRIVATE PUBLIC FILE")
	switch args := os.Args[1:]; {
	case len(args) == 5 && args[0] == "pin":
		err = pin(os.Stdout, os.Stdin, args[1], args[2], args[3], args[4])
	case len(args) == 4 && args[0] == "sign":
		err = sign(args[1], args[2], args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// plain is what can stand between a shell's single quotes, and in a file's name or an address.
var plain = regexp.MustCompile(`^[A-Za-z0-9.+~:/_@%?=&-]*$`)

// pin fills in the install script; without a public key it is a script for a release that is not signed.
func pin(w io.Writer, script io.Reader, public, version, url, takeback string) error {
	text, err := io.ReadAll(script)
	if err != nil {
		return err
	}
	back, err := os.ReadFile(takeback)
	if err != nil {
		return err
	}
	if !plain.MatchString(version) || !plain.MatchString(url) {
		return fmt.Errorf("version %q or address %q has signs that it cannot have", version, url)
	}
	var spki, ssh string
	if public != "" {
		key, err := publicKey(public)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return err
		}
		spki, ssh = base64.StdEncoding.EncodeToString(der), base64.StdEncoding.EncodeToString(wire(key))
	}
	out := strings.NewReplacer("#VERSION#", version, "#URL#", strings.TrimSuffix(url, "/"), "#PEM#", spki, "#SSH#", ssh,
		"#TAKEBACK#\n", strings.ReplaceAll(string(back), "/usr/bin/provision", "/usr/local/bin/provision")).Replace(string(text))
	_, err = io.WriteString(w, out)
	return err
}

func block(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, fmt.Errorf("%s is no key in PEM (openssl genpkey -algorithm ed25519 makes one)", path)
	}
	return b.Bytes, nil
}

func publicKey(path string) (ed25519.PublicKey, error) {
	der, err := block(path)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if ed, ok := key.(ed25519.PublicKey); ok {
		return ed, nil
	}
	return nil, fmt.Errorf("%s is no Ed25519 key", path)
}

// sign refuses a private key that is not the pinned one's: nobody could install what it signs.
func sign(private, public, path string) error {
	der, err := block(private)
	if err != nil {
		return err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return fmt.Errorf("%s: %w", private, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("%s is no Ed25519 key", private)
	}
	pinned, err := publicKey(public)
	if err != nil {
		return err
	}
	if !pinned.Equal(key.Public()) {
		return fmt.Errorf("%s is not the public half of %s", public, private)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path+".sig", ed25519.Sign(key, text), 0o644), os.WriteFile(path+".sshsig", sshsig(key, pinned, text), 0o644))
}

// field is a string of SSH (RFC 4251 section 5).
func field[T string | []byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// wire is the key as SSH writes it (RFC 8709 section 4).
func wire(key ed25519.PublicKey) []byte { return field(field(nil, "ssh-ed25519"), []byte(key)) }

// sshsig is a signature as `ssh-keygen -Y sign` makes it (OpenSSH, PROTOCOL.sshsig).
func sshsig(key ed25519.PrivateKey, public ed25519.PublicKey, text []byte) []byte {
	const magic, reserved, digest = "SSHSIG", "", "sha512"
	sum := sha512.Sum512(text)
	signed := field(field(field(field([]byte(magic), namespace), reserved), digest), sum[:])
	b := binary.BigEndian.AppendUint32([]byte(magic), 1)
	b = field(field(field(field(b, wire(public)), namespace), reserved), digest)
	b = field(b, field(field(nil, "ssh-ed25519"), ed25519.Sign(key, signed)))
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: b})
}
