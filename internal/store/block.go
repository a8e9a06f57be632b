package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/s2"
	"github.com/minio/highwayhash"
)

// The form of a record.
const (
	headSize   = 22        // length, sequence, time, length of the subject
	sumSize    = 8         //
	withHeader = 1 << 31   // in the length: headers stand between subject and data
	maxRecord  = 32 << 20  // the server takes none that is longer
	maxBlock   = 64 << 20  // bytes; the server begins another at 8 MiB
	readAhead  = 256 << 10 // bytes
)

// Of a record's sequence: that it was erased, or that it stands for another that
// was deleted. Where the newest records of a stream are all gone, such a one is
// what keeps their sequences from being given out again.
const (
	erased  = 1 << 63
	deleted = 1 << 62
)

// packed begins a block that the server compressed once it was full. The length
// of what is in it follows, then that, then the last record's sum, which the
// server keeps apart.
var packed = [4]byte{'c', 'm', 'p', 1} //nolint:gochecknoglobals // a constant

// block reads one file of records.
func (r *Report) block(path, stream string, n int, last bool) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, n))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		return err
	}
	b := &reading{r: bufio.NewReaderSize(f, readAhead), sum: h}
	if begins, err := b.r.Peek(len(packed)); err == nil && bytes.Equal(begins, packed[:]) {
		if b.r, err = unpack(b.r); err != nil {
			return &Damage{path, fmt.Sprintf("it can't be unpacked: %v", err)}
		}
	}
	for {
		seq, size, err := b.record()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errCut) && last:
			r.Torn = append(r.Torn, path)
			return nil
		case err != nil:
			return &Damage{path, fmt.Sprintf("at byte %d %v", b.at, err)}
		}
		b.at += size
		r.Last[stream] = max(r.Last[stream], seq)
		r.Records++
		r.Bytes += size
	}
}

// unpack reads all of a compressed block.
func unpack(r *bufio.Reader) (*bufio.Reader, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	b = b[len(packed):]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxBlock || len(b) < n+sumSize {
		return nil, io.ErrUnexpectedEOF
	}
	end := len(b) - sumSize
	out, err := io.ReadAll(io.LimitReader(s2.NewReader(bytes.NewReader(b[n:end])), maxBlock))
	if err != nil {
		return nil, err
	}
	return bufio.NewReader(bytes.NewReader(append(out, b[end:]...))), nil
}

// errCut says that a record ends before its end.
var errCut = errors.New("a record is cut off")

// reading is a block that is being read.
type reading struct {
	r   *bufio.Reader
	sum hash.Hash
	at  int64 // where the next record begins
	buf []byte
}

// record reads one record and returns its sequence and length. io.EOF: there is
// none left.
func (b *reading) record() (seq uint64, length int64, err error) {
	var head [headSize]byte
	n, err := io.ReadFull(b.r, head[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, 0, io.EOF
	}
	if err != nil {
		return 0, 0, b.cut(head[:n], err)
	}
	long, subject := binary.LittleEndian.Uint32(head[:]), int(binary.LittleEndian.Uint16(head[20:]))
	size := int(long &^ withHeader)
	before := subject // of what the sum is over, without the length of the headers
	if long&withHeader != 0 {
		subject += 4
	}
	if size == 0 { // room that the disk gave and nobody wrote
		return 0, 0, b.cut(head[:], io.ErrUnexpectedEOF)
	}
	if size < headSize+subject+sumSize || size > maxRecord {
		return 0, 0, fmt.Errorf("a record has an impossible length")
	}
	if cap(b.buf) < size {
		b.buf = make([]byte, size)
	}
	data := b.buf[:size-headSize]
	if _, err := io.ReadFull(b.r, data); err != nil {
		return 0, 0, b.cut(nil, err)
	}
	end := len(data) - sumSize
	b.sum.Reset()
	b.sum.Write(head[4:20])
	b.sum.Write(data[:before])
	b.sum.Write(data[subject:end])
	seq = binary.LittleEndian.Uint64(head[4:])
	whole := seq&erased != 0 || parted(data[:before], data[before:subject], data[subject:end])
	if !whole || !bytes.Equal(b.sum.Sum(nil), data[end:]) {
		return 0, 0, fmt.Errorf("a record is not the one that was written")
	}
	return seq &^ (erased | deleted), int64(size), nil
}

// parted tells whether subject and headers end where they are said to: the sum
// is over what they say, and not over how long they are. long is the length of
// the headers, if there are any.
func parted(subject, long, rest []byte) bool {
	if bytes.ContainsFunc(subject, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '{' || c == '"' }) {
		return false
	}
	if len(long) == 0 {
		return true
	}
	i := bytes.Index(rest, []byte("\r\n\r\n"))
	return i >= 0 && uint64(i+4) == uint64(binary.LittleEndian.Uint32(long))
}

// cut tells a file that ends in the middle of a record, or in zeros, as a power
// failure leaves it, from one that could not be read.
func (b *reading) cut(head []byte, err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if len(head) < headSize {
		return errCut
	}
	rest, err := io.ReadAll(b.r)
	if err != nil {
		return err
	}
	if len(bytes.Trim(append(head, rest...), "\x00")) == 0 {
		return errCut
	}
	return errors.New("a record has no length, and others follow it")
}
