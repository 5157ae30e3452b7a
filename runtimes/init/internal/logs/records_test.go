package logs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

var written = time.UnixMicro(1_700_000_000_123_456)

// framed is what AWS's clients write; types below 2 have no time.
func framed(kind byte, text string) string {
	head := []byte{0xa5, 0x5a, 0x00, kind}
	head = binary.BigEndian.AppendUint32(head, uint32(len(text)))
	if kind >= timed {
		head = binary.BigEndian.AppendUint64(head, uint64(written.UnixMicro()))
	}
	return string(head) + text
}

// discard serves all: a sink has a goroutine that never ends.
var discard = NewSink(io.Discard)

// recording is a stream that notes what was said, one entry for a record or for the lines of one piece.
func recording(t *testing.T) (*Records, *Stream, *[]string) {
	t.Helper()
	stream := NewStream(discard)
	begin(stream, "START")
	var seen []string
	stream.Watch(func(said Said) {
		if said.Record {
			seen = append(seen, fmt.Sprintf("record %q", said.Text))
			return
		}
		for line := range bytes.Lines(said.Text) {
			seen = append(seen, fmt.Sprintf("%q", line))
		}
	})
	return stream.Records(), stream, &seen
}

func TestRecordsAndLinesKeepTheirOrder(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"lines alone":           {"one\ntwo\n", `"one\n" "two\n"`},
		"a record":              {framed(0x03, "a\nb\n"), `record "a\nb\n"`},
		"of JSON":               {framed(0x0e, `{"a":1}`), `record "{\"a\":1}"`},
		"of an older client":    {framed(0x01, "a\nb"), `record "a\nb"`},
		"between lines":         {"one\n" + framed(0x0f, "a\nb") + "two\n", `"one\n" record "a\nb" "two\n"`},
		"within a line":         {"on" + framed(0x0f, "a\nb") + "e\n", `record "a\nb" "one\n"`},
		"two":                   {framed(0x1b, "a") + framed(0x06, "b"), `record "a" record "b"`},
		"with a frame in it":    {framed(0x03, framed(0x03, "a")), fmt.Sprintf("record %q", framed(0x03, "a"))},
		"an empty one":          {framed(0x03, "") + "x\n", `"x\n"`},
		"of an unknown type":    {"\xa5\x5a\x00\x40 text\n", `"\xa5Z\x00@ text\n"`},
		"of an unknown level":   {"\xa5\x5a\x00\x1f text\n", `"\xa5Z\x00\x1f text\n"`},
		"of an impossible time": {"\xa5\x5a\x00\x03 12345678901234567890\n", `"\xa5Z\x00\x03 12345678901234567890\n"`},
		"of negative length":    {"\xa5\x5a\x00\x01\xff\xff\xff\xff text\n", `"\xa5Z\x00\x01\xff\xff\xff\xff text\n"`},
		"signs of no frame":     {"¥\xa5\x5a¥\n", `"¥\xa5Z¥\n"`},
	} {
		for _, size := range []int{1, 2, 7, len(c.text)} {
			records, _, seen := recording(t)
			pieces(records, c.text, size)
			records.End()
			if got := strings.Join(*seen, " "); got != c.want {
				t.Errorf("%s, in pieces of %d: %s", what, size, got)
			}
		}
	}
}

// pieces writes a text as reads of a pipe that were all cut off: each is followed by more.
func pieces(records *Records, text string, size int) {
	for len(text) > 0 {
		n := min(size, len(text))
		records.output([]byte(text[:n]), n == len(text))
		text = text[n:]
	}
}

// A text may end with a byte of a frame's head: it does not wait for what may never come.
func TestATextIsNotHeldBack(t *testing.T) {
	records, stream, seen := recording(t)
	records.Output([]byte("10 ¥"))
	stream.Line("END")
	if got := strings.Join(*seen, " "); got != `"10 ¥\n"` {
		t.Error(got)
	}
}

func TestTheTailHasRecordsAsTheyAre(t *testing.T) {
	records, stream, _ := recording(t)
	records.Output([]byte("one\n" + framed(0x17, "[ERROR] x\nTraceback:\n  y") + "two\n"))
	stream.Line("END")
	if got := string(stream.Tail()); got != "START\none\n[ERROR] x\nTraceback:\n  y\ntwo\nEND\n" {
		t.Errorf("%q", got)
	}
}

func TestRecordsAreFilteredWhole(t *testing.T) {
	records, stream, _ := recording(t)
	stream.Keep(LevelFilter("JSON", "WARN"))
	records.Output([]byte(framed(0x0e, "{\"level\":\n\"INFO\"}\n") + framed(0x12, "{\"level\":\n\"WARN\"}\n")))
	if got := string(stream.Tail()); got != "START\n{\"level\":\n\"WARN\"}\n" {
		t.Errorf("%q", got)
	}
}

func TestALongRecordGoesOutInPieces(t *testing.T) {
	records, _, seen := recording(t)
	text := strings.Repeat("x", recordBytes) + "rest"
	pieces(records, framed(0x03, text)+"after\n", 10_000)
	if len(*seen) != 3 || (*seen)[1] != `record "rest"` || (*seen)[2] != `"after\n"` {
		t.Error(len(*seen))
	}
	if cap(records.held) > pipeBuffer {
		t.Error("a long one stays in memory")
	}
}

func TestWhatIsUnfinishedAtTheEnd(t *testing.T) {
	records, stream, seen := recording(t)
	records.Output([]byte(framed(0x03, "half of it")[:20]))
	records.End()
	again := stream.Records()
	again.Output([]byte(framed(0x03, "x")[:9]))
	again.End()
	stream.Line("END")
	if got := strings.Join(*seen, " "); got != `record "half" "\xa5Z\x00\x03\x00\x00\x00\x01\x00\n"` {
		t.Error(got)
	}
	other := stream.Source()
	other.Output([]byte("unfinished"))
	other.End()
	if got := (*seen)[len(*seen)-1]; got != `"unfinished\n"` {
		t.Error(got)
	}
}

func TestWhenARecordWasWritten(t *testing.T) {
	records, stream, _ := recording(t)
	var times []time.Time
	stream.Watch(func(said Said) { times = append(times, said.At) })
	records.Output([]byte(framed(0x03, "timed") + framed(0x01, "untimed") + "line\n"))
	if len(times) != 3 || !times[0].Equal(written) || !times[1].IsZero() || !times[2].IsZero() {
		t.Error(times)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte("one\n"+framed(0x03, "a\nb")+"two"), 3)
	f.Add([]byte(framed(0x01, "a")+"\xa5\x5a\x00"), 1)
	f.Add([]byte("\xa5\x5a\x00\x1b\x7f\xff\xff\xff\x00\x06\x00\x00\x00\x00\x00\x00text"), 16)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		records, stream, _ := recording(t)
		said := 0
		stream.Watch(func(s Said) { said += len(s.Text) })
		pieces(records, string(data), max(size, 1))
		records.End()
		stream.Line("END")
		if said > len(data)+1 { // the end of an unfinished line
			t.Errorf("%d bytes became %d", len(data), said)
		}
		if frames := bytes.Count(data, frameMagic); said < len(data)-16*frames {
			t.Errorf("of %d bytes %d are lost", len(data), len(data)-said)
		}
	})
}
