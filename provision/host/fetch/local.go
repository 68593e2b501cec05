package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// local reads a file. Its Last-Modified has nanoseconds: a file that was written twice within a
// second is not taken for the same.
func local(path string, r Request) (Response, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0) // a FIFO must not hold us
	if err != nil {
		var bad *os.PathError
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return Response{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Response{}, err
	}
	out := Response{URL: "file://" + path, LastModified: info.ModTime().UTC().Format(time.RFC3339Nano), ETag: fmt.Sprintf("%d", info.Size())}
	switch {
	case !info.Mode().IsRegular():
		return Response{}, errors.New("it is no regular file")
	case info.Size() > r.MaxBytes:
		return Response{}, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, info.Size(), r.MaxBytes)
	case r.LastModified == out.LastModified && r.ETag == out.ETag:
		out.NotModified = true
		return out, nil
	}
	var body bytes.Buffer
	to := io.Writer(&body)
	if r.To != nil {
		to = r.To
	}
	out.Bytes, err = io.Copy(to, io.LimitReader(f, r.MaxBytes+1))
	if err == nil && out.Bytes > r.MaxBytes {
		err = fmt.Errorf("%w: it grows", ErrTooLarge)
	}
	if err != nil {
		return Response{}, err
	}
	out.Body = body.Bytes()
	return out, nil
}
