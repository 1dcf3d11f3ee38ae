package main

import (
	"fmt"
	"image/color"
	"os"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plotSteady draws, for each budget, how many requests of all its clients were
// accepted and refused in each second.
func plotSteady(file string, flows []*flow) (err error) {
	var budgets []string
	of := make(map[string][]*flow)
	for _, f := range flows {
		if of[f.budget] == nil {
			budgets = append(budgets, f.budget)
		}
		of[f.budget] = append(of[f.budget], f)
	}
	var rows [][]*plot.Plot
	for _, budget := range budgets {
		p, err := panel(budget, of[budget])
		if err != nil {
			return err
		}
		rows = append(rows, []*plot.Plot{p})
	}
	canvas := vgsvg.New(20*vg.Centimeter, vg.Length(len(rows))*6*vg.Centimeter)
	tiles := draw.Tiles{Rows: len(rows), Cols: 1, PadY: 4 * vg.Millimeter, PadTop: 2 * vg.Millimeter, PadBottom: 2 * vg.Millimeter, PadRight: 4 * vg.Millimeter}
	for i, row := range plot.Align(rows, tiles, draw.New(canvas)) {
		rows[i][0].Draw(row[0])
	}
	out, err := os.Create(file) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(out); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

func panel(budget string, flows []*flow) (*plot.Plot, error) {
	p := plot.New()
	one := flows[0]
	p.Title.Text = fmt.Sprintf("%s: %d clients, each q=%d w=%d", budget, len(flows), one.policy.quota, one.policy.window)
	p.X.Label.Text = "seconds"
	p.Y.Label.Text = "requests a second"
	p.Y.Min = 0
	p.Legend.Top = true
	p.BackgroundColor = color.White // also where the page around is dark
	p.Add(plotter.NewGrid())
	for _, curve := range []struct {
		name    string
		outcome outcome
		color   color.Color
	}{
		{"accepted", accepted, color.RGBA{R: 0x1b, G: 0x7f, B: 0x3b, A: 0xff}},
		{"refused", refused, color.RGBA{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff}},
	} {
		line, err := plotter.NewLine(perSecond(flows, curve.outcome))
		if err != nil {
			return nil, err
		}
		line.StepStyle = plotter.PreStep
		line.Color = curve.color
		line.Width = vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(curve.name, line)
	}
	return p, nil
}

// perSecond counts the samples of an outcome in each second of the test.
func perSecond(flows []*flow, o outcome) plotter.XYs {
	var start, end time.Time
	for _, f := range flows {
		for _, s := range f.samples {
			if start.IsZero() || s.at.Before(start) {
				start = s.at
			}
			if s.at.After(end) {
				end = s.at
			}
		}
	}
	points := make(plotter.XYs, max(int(end.Sub(start)/time.Second), 1)) // whole seconds only
	for i := range points {
		points[i].X = float64(i + 1)
	}
	for _, f := range flows {
		for _, s := range f.samples {
			if i := int(s.at.Sub(start) / time.Second); s.outcome == o && i < len(points) {
				points[i].Y++
			}
		}
	}
	return points
}
