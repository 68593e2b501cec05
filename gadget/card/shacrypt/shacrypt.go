// Package shacrypt makes the hash of a password that every Linux reads from
// /etc/shadow: SHA-512-crypt, "$6$", as in Ulrich Drepper's "Unix crypt using SHA-256
// and SHA-512" (version 0.6, 2008). crypt(5) has stronger ones, of which a system that
// is some years old knows none.
package shacrypt

import (
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Rounds of a new hash: 5000, without being said, is what crypt(3) and passwd take; a Pi
// Zero needs a quarter of a second for them.
const Rounds = 5000

// Limits of the specification.
const (
	minRounds = 1000
	maxRounds = 999_999_999
	maxSalt   = 16
)

// digits are those of crypt's own base 64.
const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Hash makes the hash of a password, with a salt of 96 bits from random.
func Hash(password string, random io.Reader) (string, error) {
	b := make([]byte, maxSalt)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = digits[b[i]&63]
	}
	return crypt(password, string(b), Rounds, false), nil
}

// Verify reports whether hash, of the form that Hash gives, is one of password.
func Verify(hash, password string) bool {
	salt, rounds, said, err := parse(hash)
	// Somebody else's hash may ask for hours.
	if err != nil || rounds > 100*Rounds {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(crypt(password, salt, rounds, said)), []byte(hash)) == 1
}

// parse takes the setting of a hash apart.
func parse(hash string) (salt string, rounds int, said bool, err error) {
	rest, ok := strings.CutPrefix(hash, "$6$")
	if !ok {
		return "", 0, false, errors.New("not a hash of SHA-512-crypt")
	}
	rounds = Rounds
	if n, after, ok := strings.Cut(rest, "$"); ok && strings.HasPrefix(n, "rounds=") {
		if rounds, err = strconv.Atoi(n[len("rounds="):]); err != nil {
			return "", 0, false, err
		}
		rounds, rest, said = min(max(rounds, minRounds), maxRounds), after, true
	}
	salt, _, _ = strings.Cut(rest, "$")
	return salt[:min(len(salt), maxSalt)], rounds, said, nil
}

// crypt is the specification's; the numbers are those of its steps.
func crypt(password, salt string, rounds int, said bool) string {
	key := []byte(password)
	b := sha512.New() // 4 to 8
	b.Write(key)
	io.WriteString(b, salt)
	b.Write(key)
	bsum := b.Sum(nil)

	a := sha512.New() // 1 to 3
	a.Write(key)
	io.WriteString(a, salt)
	a.Write(repeat(bsum, len(key))) // 9, 10
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 { // 11
			a.Write(bsum)
		} else {
			a.Write(key)
		}
	}
	asum := a.Sum(nil) // 12

	d := sha512.New() // 13 to 16
	for range len(key) {
		d.Write(key)
	}
	p := repeat(d.Sum(nil), len(key))
	d.Reset() // 17 to 20
	for range 16 + int(asum[0]) {
		io.WriteString(d, salt)
	}
	s := repeat(d.Sum(nil), len(salt))

	c := sha512.New() // 21
	for i := range rounds {
		c.Reset()
		if i&1 != 0 {
			c.Write(p)
		} else {
			c.Write(asum)
		}
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		if i&1 != 0 {
			c.Write(asum)
		} else {
			c.Write(p)
		}
		asum = c.Sum(asum[:0])
	}

	var out strings.Builder // 22
	out.WriteString("$6$")
	if said {
		out.WriteString("rounds=" + strconv.Itoa(rounds) + "$")
	}
	out.WriteString(salt + "$")
	put := func(v uint, n int) {
		for ; n > 0; n-- {
			out.WriteByte(digits[v&63])
			v >>= 6
		}
	}
	x, y, z := 0, 21, 42
	for range 21 {
		put(uint(asum[x])<<16|uint(asum[y])<<8|uint(asum[z]), 4)
		x, y, z = y+1, z+1, x+1
	}
	put(uint(asum[63]), 2)
	return out.String()
}

// repeat is the first n bytes of b over and over.
func repeat(b []byte, n int) []byte {
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}
