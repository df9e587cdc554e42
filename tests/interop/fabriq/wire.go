package main

import (
	"encoding/json"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// bytesCodec passes the protobuf bytes of a message through, as content type
// application/grpc+fabriq-bytes says. A call of any other type is not understood.
type bytesCodec struct{}

func (bytesCodec) Name() string                  { return "fabriq-bytes" }
func (bytesCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// JSON of the wire: Go's field names, but where a tag says otherwise.
type (
	liveQuery struct {
		Entity string
		Where  []condition
		Sort   []sortKey
		Limit  int
		Cursor *cursor
		Mode   int
	}
	condition struct {
		Column string
		Op     string
		Value  any
		Or     []condition
	}
	sortKey struct {
		Column string
		Desc   bool
	}
	cursor struct {
		Values []any `json:"values"`
	}
	snapshot struct {
		SubID     string
		Rows      []snapshotRow
		Watermark string
	}
	snapshotRow struct {
		AggID   string
		Version int64
		Cursor  cursor
		Raw     json.RawMessage
		Vals    map[string]any
	}
	liveDelta struct {
		Op       int             `json:"op"`
		AggID    string          `json:"agg_id,omitempty"`
		Version  int64           `json:"version,omitempty"`
		Row      json.RawMessage `json:"row,omitempty"`
		OldIndex int             `json:"old_index"`
		NewIndex int             `json:"new_index"`
		Cursor   cursor          `json:"cursor"`
		StreamID string          `json:"stream_id,omitempty"`
		At       time.Time       `json:"at"`
	}
)

const (
	opEnter = iota
	opLeave
	opMove
	opUpdate
)

// A server frame: field 1 snapshot, 2 delta, 3 error {1 code, 2 message}.
func frame(field protowire.Number, value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // rows of this table only
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
}

func errorFrame(err error) []byte {
	code := "internal" // a bad query, too
	if errors.Is(err, errNoTenant) {
		code = "no_tenant"
	}
	var body []byte
	for field, text := range []string{code, err.Error()} {
		body = protowire.AppendTag(body, protowire.Number(field+1), protowire.BytesType)
		body = protowire.AppendString(body, text)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), body)
}

// request is a client frame: field 1 query {1 JSON}; field 2 reanchor {1 JSON cursor, 2 limit}.
type request struct {
	query    []byte
	reanchor bool
	cursor   []byte
	limit    int
}

func parseRequest(message []byte) (request, error) {
	var got request
	err := fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		got.reanchor = number == 2
		return fields(value, func(inner protowire.Number, value []byte, varint uint64) error {
			switch {
			case number == 1 && inner == 1:
				got.query = value
			case number == 2 && inner == 1:
				got.cursor = value
			case number == 2 && inner == 2:
				got.limit = int(int32(varint))
			}
			return nil
		})
	})
	return got, err
}

func fields(message []byte, take func(protowire.Number, []byte, uint64) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			varint, size = protowire.ConsumeVarint(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := take(number, value, varint); err != nil {
			return err
		}
		message = message[size:]
	}
	return nil
}
