package main

import (
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"time"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// The picture, in points; a dashboard is 24 columns wide.
const (
	column = 44
	row    = 26
	gap    = 3
	dpi    = 96
)

var (
	page   = color.RGBA{R: 0xf4, G: 0xf5, B: 0xf5, A: 0xff}
	border = color.RGBA{R: 0xd8, G: 0xd9, B: 0xdc, A: 0xff}
	faint  = color.RGBA{R: 0xec, G: 0xed, B: 0xee, A: 0xff}
	ink    = color.RGBA{R: 0x24, G: 0x29, B: 0x2e, A: 0xff}
	soft   = color.RGBA{R: 0x6e, G: 0x74, B: 0x7b, A: 0xff}

	named = map[string]color.Color{
		"green": color.RGBA{R: 0x2b, G: 0x8a, B: 0x3e, A: 0xff}, "orange": color.RGBA{R: 0xe6, G: 0x77, B: 0x00, A: 0xff},
		"red": color.RGBA{R: 0xc9, G: 0x2a, B: 0x2a, A: 0xff}, "": ink,
	}
	palette = []color.Color{
		color.RGBA{R: 0x2f, G: 0x7e, B: 0xd8, A: 0xff}, color.RGBA{R: 0xe0, G: 0x7b, B: 0x00, A: 0xff}, color.RGBA{R: 0x37, G: 0x94, B: 0x4c, A: 0xff},
		color.RGBA{R: 0xc4, G: 0x34, B: 0x3a, A: 0xff}, color.RGBA{R: 0x7d, G: 0x4f, B: 0xb3, A: 0xff}, color.RGBA{R: 0x12, G: 0x9a, B: 0xa3, A: 0xff},
		color.RGBA{R: 0x8f, G: 0x5f, B: 0x3d, A: 0xff}, color.RGBA{R: 0xd4, G: 0x5c, B: 0xa5, A: 0xff}, color.RGBA{R: 0x5b, G: 0x66, B: 0x70, A: 0xff},
		color.RGBA{R: 0xa8, G: 0xa0, B: 0x1c, A: 0xff}, color.RGBA{R: 0x1b, G: 0x3f, B: 0x8b, A: 0xff}, color.RGBA{R: 0x7a, G: 0xb8, B: 0x2e, A: 0xff},
	}
)

// paint draws the dashboard, each panel where its file says. Values are a step apart.
func paint(file string, d *dashboard, step time.Duration) error {
	rows := 0
	for _, p := range d.Panels {
		rows = max(rows, p.Place.Y+p.Place.H)
	}
	image := vgimg.NewWith(vgimg.UseWH(24*column+gap, vg.Length(rows)*row+gap), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(page))
	all := draw.New(image)
	for _, p := range d.Panels {
		area := draw.Canvas{Canvas: all, Rectangle: vg.Rectangle{
			Min: vg.Point{X: vg.Length(p.Place.X)*column + gap, Y: vg.Length(rows-p.Place.Y-p.Place.H)*row + gap},
			Max: vg.Point{X: vg.Length(p.Place.X+p.Place.W) * column, Y: vg.Length(rows-p.Place.Y) * row},
		}}
		switch p.Type {
		case "row":
			write(area, p.Title, area.Min.X+2*gap, area.Min.Y+row/3, 11, true, ink)
		case "stat":
			paintStat(card(area, p.Title), p)
		default:
			if err := paintSeries(card(area, p.Title), p, step); err != nil {
				return fmt.Errorf("panel %q: %w", p.Title, err)
			}
		}
	}
	out, err := os.Create(file) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(out, image.Image()); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// card draws a panel's frame and title, and returns what is left of it.
func card(area draw.Canvas, title string) draw.Canvas {
	corners := []vg.Point{area.Min, {X: area.Max.X, Y: area.Min.Y}, area.Max, {X: area.Min.X, Y: area.Max.Y}}
	area.FillPolygon(color.White, corners)
	area.StrokeLines(draw.LineStyle{Color: border, Width: vg.Points(0.75)}, append(corners, area.Min))
	write(area, title, area.Min.X+3*gap, area.Max.Y-14, 9.5, true, ink)
	return draw.Crop(area, 3*gap, -3*gap, 2*gap, -20)
}

func style(size vg.Length, bold bool, c color.Color) text.Style {
	face := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		face.Weight = xfont.WeightBold
	}
	return text.Style{Color: c, Font: face, Handler: plot.DefaultTextHandler, YAlign: text.YBottom}
}

func write(area draw.Canvas, words string, x, y, size vg.Length, bold bool, c color.Color) {
	area.FillText(style(size, bold, c), vg.Point{X: x, Y: y}, words)
}

func paintStat(area draw.Canvas, p *panel) {
	words, name := p.stat()
	size := vg.Length(24)
	for style(size, true, ink).Width(words) > area.Max.X-area.Min.X {
		size--
	}
	s := style(size, true, named[name])
	s.XAlign, s.YAlign = text.XCenter, text.YCenter
	area.FillText(s, area.Center(), words)
}

func paintSeries(area draw.Canvas, p *panel, step time.Duration) error {
	lines := legendLines(area, p.series)
	const line = 10
	for i, entries := range lines {
		x, y := area.Min.X, area.Min.Y+vg.Length(len(lines)-1-i)*line
		for _, e := range entries {
			area.StrokeLine2(draw.LineStyle{Color: e.color, Width: vg.Points(2)}, x, y+3.5, x+8, y+3.5)
			write(area, e.name, x+11, y, 7, false, ink)
			x += e.width
		}
	}
	chart := plot.New()
	chart.BackgroundColor = color.White
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	chart.Add(grid)
	for i, one := range p.series {
		for _, part := range unbroken(one.points, step) {
			l, err := plotter.NewLine(part)
			if err != nil {
				return err
			}
			l.Color, l.Width = palette[i%len(palette)], vg.Points(1.1)
			chart.Add(l)
		}
	}
	chart.Y.Min = min(0, chart.Y.Min)
	if chart.Y.Max <= chart.Y.Min {
		chart.Y.Max = chart.Y.Min + 1
	}
	chart.X.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick { return few(low, high, "s") })
	chart.Y.Tick.Marker = plot.TickerFunc(func(low, high float64) []plot.Tick { return few(low, high, p.Field.Defaults.Unit) })
	for _, axis := range []*plot.Axis{&chart.X, &chart.Y} {
		axis.LineStyle.Color, axis.Tick.LineStyle.Color, axis.Tick.Label.Color = border, border, soft
		axis.Tick.Label.Font = style(7, false, soft).Font
		axis.Tick.Length = 2
		axis.Padding = 0
	}
	chart.Draw(draw.Crop(area, 0, 0, vg.Length(len(lines))*line+2, 0))
	return nil
}

// unbroken cuts a line where more than one value is missing.
func unbroken(points []point, step time.Duration) (parts []plotter.XYs) {
	most := 2.5 * step.Seconds()
	before := math.Inf(-1)
	for _, p := range points {
		if p.x-before > most {
			parts = append(parts, nil)
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], plotter.XY{X: p.x, Y: p.y})
		before = p.x
	}
	return parts
}

// few returns some ticks at values that are round in the unit, each with its label.
func few(low, high float64, unit string) (ticks []plot.Tick) {
	scale := 1.0
	for unit == "bytes" && high/scale >= 1024 {
		scale *= 1024
	}
	step := scale * math.Pow(10, math.Floor(math.Log10((high-low)/scale/3)))
	for _, times := range []float64{5, 2} {
		if (high-low)/(step*times) >= 3 {
			step *= times
			break
		}
	}
	for n := math.Ceil(low / step); n*step <= high; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: units[unit](n * step)})
	}
	return ticks
}

type entry struct {
	name  string
	color color.Color
	width vg.Length
}

// legendLines breaks the legend into lines that fit.
func legendLines(area draw.Canvas, all []series) (lines [][]entry) {
	room := vg.Length(0)
	for i, one := range all {
		e := entry{name: one.name, color: palette[i%len(palette)]}
		e.width = 20 + style(7, false, ink).Width(e.name)
		if e.width > room {
			lines, room = append(lines, nil), area.Max.X-area.Min.X
		}
		last := len(lines) - 1
		lines[last], room = append(lines[last], e), room-e.width
	}
	return lines
}
