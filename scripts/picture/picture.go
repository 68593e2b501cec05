package main

import (
	"fmt"
	"html"
	"strings"
)

// picture is panels below each other; its width is fixed, its height follows.
type picture struct {
	title, note string
	panels      []panel
}

// panel is a grid of cells, counted from 0, in which boxes stand and are joined by arrows.
type panel struct {
	title         string
	columns, rows int
	boxes         []box
	arrows        []arrow
}

// box is something that data passes. Its id is what a reader calls it; col and row may lie between two cells.
type box struct {
	id       string
	col, row float64
	text     []string // two lines at most
	pkg      string   // folders of the repository, with a blank between two; may be empty
	command  string   // of provision; may be empty
}

// arrow leads from a box to another; back is one that goes against the stream.
type arrow struct {
	from, to string
	label    []string
	back     bool
}

// Sizes in pixels of the picture's own coordinates. The gap between rows has room for a label.
const (
	width     = 1100.0
	margin    = 20.0
	heading   = 44.0 // above a panel's first row
	boxHeight = 92.0
	rowGap    = 30.0
	colGap    = 44.0
)

// at is a box where it stands.
type at struct {
	box
	x, y, w float64 // left, top, width
}

func (p panel) place(top float64) map[string]at {
	w := (width - 4*margin - float64(p.columns-1)*colGap) / float64(p.columns)
	out := map[string]at{}
	for _, b := range p.boxes {
		out[b.id] = at{b, 2*margin + b.col*(w+colGap), top + heading + b.row*(boxHeight+rowGap), w}
	}
	return out
}

func (p panel) height() float64 {
	return heading + float64(p.rows)*boxHeight + float64(p.rows-1)*rowGap + margin
}

// style has both palettes: a browser that shows the picture on a dark page asks for the second. A renderer that knows no media
// queries takes the first, which brings its own white ground.
const style = `
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, "DejaVu Sans", Arial, sans-serif; font-size: 12px; fill: #24292f }
  .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 10.5px }
  .title { font-size: 15px; font-weight: 600 }
  .name { font-size: 14px; font-weight: 600 }
  .label { font-size: 11px; fill: #57606a }
  .package { fill: #57606a }
  .command { fill: #116329 }
  .ground { fill: #ffffff }
  .panel { fill: #f6f8fa; stroke: #d0d7de }
  .box { fill: #ffffff; stroke: #8c959f }
  .world { fill: #ddf4ff; stroke: #54aeff }
  .way { fill: none; stroke: #57606a; stroke-width: 1.6 }
  .back { stroke: #bc4c00; stroke-dasharray: 5 4 }
  .head { fill: #57606a }
  .backhead { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .label { fill: #9da7b3 }
    .package { fill: #9da7b3 }
    .command { fill: #56d364 }
    .ground { fill: #0d1117 }
    .panel { fill: #161b22; stroke: #30363d }
    .box { fill: #0d1117; stroke: #6e7681 }
    .world { fill: #0c2d4a; stroke: #388bfd }
    .way { stroke: #9da7b3 }
    .back { stroke: #f0883e }
    .head { fill: #9da7b3 }
    .backhead { fill: #f0883e }
  }
`

// draw is the picture as SVG 1.1, the same for the same description.
func draw(p picture) string {
	var body strings.Builder
	top := margin
	for _, panel := range p.panels {
		fmt.Fprintf(&body, "<rect class=\"panel\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" rx=\"10\"/>\n", margin, top, width-2*margin, panel.height())
		words(&body, "title", 2*margin, top+28, "start", panel.title)
		boxes := panel.place(top)
		for _, a := range panel.arrows {
			drawArrow(&body, boxes[a.from], boxes[a.to], a)
		}
		for _, b := range panel.boxes {
			drawBox(&body, boxes[b.id])
		}
		top += panel.height() + margin
	}
	words(&body, "label", 2*margin, top+2, "start", p.note)
	height := top + margin

	var out strings.Builder
	fmt.Fprintf(&out, "<!-- made by scripts/picture: `make docs` writes it anew -->\n")
	fmt.Fprintf(&out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" role=\"img\" aria-labelledby=\"title desc\">\n", width, height, width, height)
	fmt.Fprintf(&out, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", html.EscapeString(p.title), html.EscapeString(inWords(p)))
	fmt.Fprintf(&out, "<style>%s</style>\n", style)
	out.WriteString(`<defs>
<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0L10 5L0 10z"/></marker>
<marker id="backhead" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="backhead" d="M0 0L10 5L0 10z"/></marker>
</defs>
`)
	fmt.Fprintf(&out, "<rect class=\"ground\" width=\"%g\" height=\"%g\"/>\n%s</svg>\n", width, height, body.String())
	return out.String()
}

func words(out *strings.Builder, class string, x, y float64, anchor, text string) {
	fmt.Fprintf(out, "<text class=\"%s\" x=\"%g\" y=\"%g\" text-anchor=\"%s\" xml:space=\"preserve\">%s</text>\n", class, x, y, anchor, html.EscapeString(text))
}

func drawBox(out *strings.Builder, b at) {
	class := "box"
	if b.pkg == "" { // not ours
		class = "world"
	}
	fmt.Fprintf(out, "<rect class=\"%s\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" rx=\"7\"/>\n", class, b.x, b.y, b.w, boxHeight)
	middle, y := b.x+b.w/2, b.y+20
	lines := 1 + len(b.text)
	for _, s := range []string{b.pkg, b.command} {
		if s != "" {
			lines++
		}
	}
	y += float64(5-lines) * 7.5 // a box with less to say has it in the middle
	words(out, "name", middle, y, "middle", b.id)
	for _, line := range b.text {
		y += 16
		words(out, "text", middle, y, "middle", line)
	}
	if b.pkg != "" {
		y += 17
		words(out, "mono package", middle, y, "middle", b.pkg)
	}
	if b.command != "" {
		y += 14
		words(out, "mono command", middle, y, "middle", b.command)
	}
}

// drawArrow leaves a box where the other one is: by its side and round one corner, or straight up or down.
func drawArrow(out *strings.Builder, from, to at, a arrow) {
	way, head := "way", "head"
	if a.back {
		way, head = "way back", "backhead"
	}
	var path string
	var x, y float64 // the label's first line
	anchor := "middle"
	switch {
	case from.x == to.x:
		x0, y0, y1 := from.x+from.w/2, from.y+boxHeight, to.y
		if to.y < from.y {
			y0, y1 = from.y, to.y+boxHeight
		}
		path = fmt.Sprintf("M%g %gV%g", x0, y0, y1)
		x, y, anchor = x0+8, (y0+y1)/2+4-float64(len(a.label)-1)*7, "start"
	default:
		x0, x1 := from.x+from.w, to.x
		if to.x < from.x {
			x0, x1 = from.x, to.x+to.w
		}
		y0, y1 := from.y+boxHeight/2, to.y+boxHeight/2
		bend := (x0 + x1) / 2
		path = fmt.Sprintf("M%g %gH%gV%gH%g", x0, y0, bend, y1, x1)
		if y0 == y1 {
			path = fmt.Sprintf("M%g %gH%g", x0, y0, x1)
		}
		x, y = bend, min(y0, y1)-7-float64(len(a.label)-1)*13
		if len(a.label) > 1 { // below the line is more room than above it
			y = y1 + 15
		}
	}
	fmt.Fprintf(out, "<path class=\"%s\" d=\"%s\" marker-end=\"url(#%s)\"/>\n", way, path, head)
	for i, line := range a.label {
		words(out, "label", x, y+float64(i)*13, anchor, line)
	}
}

// inWords is the picture for those who hear it.
func inWords(p picture) string {
	var out []string
	for _, panel := range p.panels {
		out = append(out, panel.title+":")
		boxes := panel.place(0)
		for _, b := range panel.boxes {
			s := b.id + ", " + strings.Join(b.text, " ")
			for _, a := range panel.arrows {
				if a.from != b.id {
					continue
				}
				s += "; to " + boxes[a.to].id
				if len(a.label) > 0 {
					s += " (" + strings.Join(a.label, " ") + ")"
				}
			}
			out = append(out, s+".")
		}
	}
	return strings.Join(out, " ")
}
