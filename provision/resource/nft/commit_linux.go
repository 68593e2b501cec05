package nft

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// errRaced: somebody else changed a table between reading and writing.
var errRaced = errors.New("changed between reading and writing")

// send has the batch carried out, or tells in words what the kernel does not like of it.
func (c *changes) send(ctx context.Context, conn *nfnl.Conn, gen uint32) error {
	failures, err := conn.Commit(ctx, gen, &c.batch)
	if err != nil {
		return fmt.Errorf("cannot change table %s %s: %w", c.words, c.table, err)
	}
	if len(failures) == 0 {
		return nil
	}
	if f := failures[0]; f.Errno == unix.ERESTART {
		return errRaced
	}
	var errs []error
	seen := map[string]bool{}
	for _, f := range failures {
		err := c.explain(f)
		if s := err.Error(); !seen[s] && len(errs) < 10 {
			seen[s] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// explain says what one failure means.
func (c *changes) explain(f nfnl.Failure) error {
	what := fmt.Sprintf("change table %s %s", c.words, c.table)
	var why cause
	if f.Index >= 0 && f.Index < len(c.causes) {
		why = c.causes[f.Index]
		what = fmt.Sprintf("%s (table %s %s)", why.text(), c.words, c.table)
	}
	said := ""
	if f.Text != "" {
		said = ": " + f.Text
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot %s: %w", what, fmt.Errorf(format, args...))
	}
	name, module := c.missing(f, why)
	switch {
	case f.Errno == unix.EPERM && f.Index < 0:
		return fail("run as root: %w", f.Errno)
	case f.Errno == unix.EPERM:
		return fail("the table belongs to another process (flags owner): %w", f.Errno)
	case name != "":
		return fail("%w: it has no %s (%s missing): %w%s", ErrUnsupported, name, module, f.Errno, said)
	case f.Errno == unix.EAFNOSUPPORT:
		return fail("%w: it has no nf_tables for family %s: %w", ErrUnsupported, c.words, f.Errno)
	case f.Errno == unix.EINVAL && f.Index < 0:
		return fail("%w: it has no nf_tables: %w", ErrUnsupported, f.Errno)
	case f.Errno == unix.EOPNOTSUPP:
		return fail("%w: %w%s", ErrUnsupported, f.Errno, said)
	case f.Errno == unix.ENOENT && why.exprs != nil && f.Offset >= 0:
		return fail("it names a chain or a set that is not there: %w%s", f.Errno, said)
	case f.Errno == unix.ENOENT && why.exprs != nil: // an old kernel, which does not point
		return fail("%w, or what it names is not there: one of %s is missing: %w", ErrUnsupported, strings.Join(kinds(why.exprs), ", "), f.Errno)
	case f.Errno == unix.ENOENT && strings.HasPrefix(why.what, "make chain"):
		return fail("%w: it has no chains of this type (nft_chain_nat for nat): %w", ErrUnsupported, f.Errno)
	case f.Errno == unix.ENOMEM, f.Errno == unix.ENOBUFS:
		return fail("the kernel has no memory for it: %w", f.Errno)
	case f.Errno == unix.ENFILE:
		return fail("a set is full: raise its size: %w", f.Errno)
	case f.Errno == unix.ENOTEMPTY || f.Errno == unix.EEXIST:
		return fail("elements overlap, or it is there already: %w%s", f.Errno, said)
	case f.Errno == unix.EBUSY || f.Errno == unix.EMLINK || f.Errno == unix.ELOOP:
		return fail("something else refers to it, or chains jump in a circle: %w%s", f.Errno, said)
	}
	return fail("the kernel says %w%s", f.Errno, said)
}

// kinds are the kernel's names of a rule's expressions, each once.
func kinds(exprs []Expr) []string {
	var out []string
	seen := map[string]bool{}
	for i := range exprs {
		n := exprs[i].kernelName()
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// missing finds the expression that the kernel does not know: it points at it. What can name
// something that is not there is in every kernel.
func (c *changes) missing(f nfnl.Failure, why cause) (name, module string) {
	if why.exprs == nil || f.Errno != unix.ENOENT {
		return "", ""
	}
	_, attrs := c.batch.Message(f.Index)
	// The list of expressions, its elements: where they are in the message.
	n, pos := -1, 0
	_ = nfnl.Each(attrs, func(kind uint16, list []byte) error {
		if kind == unix.NFTA_RULE_EXPRESSIONS {
			at, i := pos+unix.SizeofNlAttr, 0
			_ = nfnl.Each(list, func(_ uint16, elem []byte) error {
				if f.Offset >= at && f.Offset < at+unix.SizeofNlAttr+len(elem) {
					n = i
				}
				at, i = at+attrSize(elem), i+1
				return nil
			})
		}
		pos += attrSize(list)
		return nil
	})
	if n < 0 || n >= len(why.exprs) {
		return "", ""
	}
	if e := why.exprs[n]; e.Lookup != nil || e.Verdict != nil || e.DynSet != nil {
		return "", ""
	}
	k := why.exprs[n].kernelName()
	return spoken(k), "nft_" + k
}

func attrSize(data []byte) int {
	return (unix.SizeofNlAttr + len(data) + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
}

// spoken is how people call an expression.
func spoken(kernelName string) string {
	switch kernelName {
	case "masq":
		return "masquerade"
	case "redir":
		return "redirect"
	case "ct", "notrack":
		return "connection tracking"
	}
	return kernelName
}

// raced is what a change is that could not be made because others would not hold still.
func raced(what string) error {
	return fmt.Errorf("cannot change %s: others keep changing nf_tables meanwhile: %w", what, provision.ErrStale)
}
