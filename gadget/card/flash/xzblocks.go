package flash

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/ulikunitz/xz"
)

// maxAhead bounds the memory for blocks that are unpacked side by side: with xz -6 a block has 24 MiB, with -9 it has 192.
const maxAhead = 512 << 20

// xzWorkers is how many blocks are worth being unpacked at once; 1: read the file as one stream.
func xzWorkers(blocks []xzBlock) int {
	longest := int64(1)
	for _, b := range blocks {
		longest = max(longest, b.size)
	}
	return int(max(1, min(int64(runtime.GOMAXPROCS(0)), int64(len(blocks)), maxAhead/longest-1)))
}

// xzBlocks unpacks the blocks of a file side by side and gives them out in their order: unpacking is what takes the time, and
// cards are written faster than one processor unpacks.
type xzBlocks struct {
	queue chan chan xzDone
	free  chan []byte
	ended chan struct{}
	all   sync.WaitGroup
	now   []byte // of the present block, what has not been read yet
	whole []byte // the present block's memory, which goes back
	err   error
}

type xzDone struct {
	data []byte
	err  error
}

func newXZBlocks(r io.ReaderAt, blocks []xzBlock, workers int) *xzBlocks {
	x := &xzBlocks{queue: make(chan chan xzDone, workers), free: make(chan []byte, workers+2), ended: make(chan struct{})}
	x.all.Go(func() {
		defer close(x.queue)
		turns := make(chan struct{}, workers)
		for _, b := range blocks {
			select {
			case turns <- struct{}{}:
			case <-x.ended:
				return
			}
			result := make(chan xzDone, 1)
			select {
			case x.queue <- result:
			case <-x.ended:
				return
			}
			x.all.Go(func() {
				data, err := xzUnpack(r, b, x.memory(b.size))
				result <- xzDone{data, err}
				<-turns
			})
		}
	})
	return x
}

func (x *xzBlocks) memory(n int64) []byte {
	select {
	case m := <-x.free:
		if int64(cap(m)) >= n {
			return m[:n]
		}
	default:
	}
	return make([]byte, n)
}

// xzUnpack unpacks one block into memory of exactly its size.
func xzUnpack(r io.ReaderAt, b xzBlock, into []byte) ([]byte, error) {
	head, tail := xzAlone(b)
	// The decoder reads single bytes, each of which would be a call of the system.
	body := bufio.NewReaderSize(io.NewSectionReader(r, b.at, b.padded()), 1<<18)
	stream := io.MultiReader(bytes.NewReader(head), body, bytes.NewReader(tail))
	d, err := xz.NewReader(stream)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(d, into); err != nil {
		return nil, short(err)
	}
	// The checksum comes at the end, which has to be one.
	if n, err := d.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("a block is longer than the index says")
		}
		return nil, err
	}
	return into, nil
}

// short is an end that came too early.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read gives out what has been unpacked.
func (x *xzBlocks) Read(b []byte) (int, error) {
	for len(x.now) == 0 && x.err == nil {
		if x.whole != nil {
			select {
			case x.free <- x.whole:
			default:
			}
			x.whole = nil
		}
		result, ok := <-x.queue
		if !ok {
			x.err = io.EOF
			break
		}
		done := <-result
		x.now, x.whole, x.err = done.data, done.data, done.err
	}
	if len(x.now) == 0 {
		return 0, x.err
	}
	n := copy(b, x.now)
	x.now = x.now[n:]
	return n, nil
}

// stop ends all work and waits until nobody reads the file any more.
func (x *xzBlocks) stop() {
	close(x.ended)
	for result := range x.queue {
		<-result
	}
	x.all.Wait()
}
