package foreign

import (
	"bytes"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
)

// Words is a rule as its author would write it: nft's own words, or in the tables of iptables-nft,
// which nft cannot show whole, the options of iptables as far as they are told here.
func Words(t nft.Table, r nft.Rule) string {
	strange := false
	for _, e := range r.Exprs {
		strange = strange || e.Unknown != nil
	}
	if !strange {
		if line, ok := nft.RuleLine(&t, r); ok {
			return line
		}
	}
	var words []string
	key := ""
	for _, e := range r.Exprs {
		switch {
		case e.Meta != nil:
			key = e.Meta.Key
		case e.Cmp != nil && (key == "iifname" || key == "oifname"):
			sign := map[string]string{"==": "", "!=": "! "}[e.Cmp.Op]
			dev, whole := bytes.CutSuffix(e.Cmp.Data, []byte{0})
			dev = bytes.TrimRight(dev, "\x00")
			if !whole {
				dev = append(bytes.Clone(dev), '+')
			}
			words = append(words, sign+map[string]string{"iifname": "-i ", "oifname": "-o "}[key]+string(dev))
		case e.Cmp != nil:
			key = ""
		case e.Verdict != nil:
			words = append(words, verdictWords(*e.Verdict))
		case e.Reject != nil:
			words = append(words, "-j REJECT")
		case e.Unknown != nil:
			x, ok := readExtension(e.Unknown.Data)
			switch {
			case ok && e.Unknown.Name == "match":
				words = append(words, "-m "+x.name)
			case ok && e.Unknown.Name == "target":
				words = append(words, "-j "+x.name)
			default:
				words = append(words, "("+e.Unknown.Name+")")
			}
		}
	}
	return strings.Join(words, " ")
}

func verdictWords(v nft.Verdict) string {
	switch v.Kind {
	case "jump":
		return "-j " + v.Chain
	case "goto":
		return "-g " + v.Chain
	}
	return "-j " + strings.ToUpper(v.Kind)
}
