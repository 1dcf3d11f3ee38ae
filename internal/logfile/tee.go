package logfile

import "io"

// Tee returns a writer of lines to both outputs. Neither's failure keeps a line
// from the other (io.MultiWriter stops at the first), and the result is out's: file
// says by itself what it loses.
func Tee(out io.Writer, file *File) io.Writer { return tee{out, file} }

type tee struct {
	out  io.Writer
	file *File
}

func (t tee) Write(p []byte) (int, error) {
	n, err := t.out.Write(p)
	_, _ = t.file.Write(p) // counted and reported there
	return n, err
}
