// The table and the windows over it: what stands here for your engine. Knows no gRPC server.
//
// Invariant: a change is applied under the table's lock, and its group is made and numbered right
// there, so nothing between here and the bridge can lose a delta unseen. Nobody waits for a
// consumer: one that does not read loses its stream.

package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "example.com/tier/livequerypb"
)

const (
	entity  = "ticks"
	pending = 1000 // batches that wait for a consumer; then its stream is given up
)

type tick struct {
	ID      string `json:"id"`
	Symbol  string `json:"symbol"`
	Price   int64  `json:"price"`
	Size    int64  `json:"size"`
	version int64
}

// A row is replaced, never altered.
type row = *tick

// value is a string or a float64. A double holds all integers of this table exactly.
type value any

func column(r row, name string) value {
	switch name {
	case "id":
		return r.ID
	case "symbol":
		return r.Symbol
	case "price":
		return float64(r.Price)
	case "size":
		return float64(r.Size)
	}
	return nil
}

func compare(a, b value) int {
	if text, ok := a.(string); ok {
		return cmp.Compare(text, b.(string))
	}
	return cmp.Compare(a.(float64), b.(float64))
}

// plain checks that a value can be compared with a column. Numbers compare by value, whatever
// their kind on the wire.
func plain(name string, v *pb.Value) (value, bool) {
	var got value
	switch kind := v.GetKind().(type) {
	case *pb.Value_StringValue:
		got = kind.StringValue
	case *pb.Value_IntValue:
		got = float64(kind.IntValue)
	case *pb.Value_UintValue:
		got = float64(kind.UintValue)
	case *pb.Value_DoubleValue:
		got = kind.DoubleValue
	}
	_, isText := got.(string)
	_, wantsText := column(&tick{}, name).(string)
	return got, got != nil && isText == wantsText
}

type query struct {
	where []func(row) bool
	sort  []*pb.SortKey // with the id as the last
	after []value
	limit int
}

func bad(field, text string) error {
	return refuse(codes.InvalidArgument, "BAD_QUERY", field, text)
}

// refuse makes a call's status. Reason and field reach browsers; the text is for a log.
func refuse(code codes.Code, reason, field, text string) error {
	refusal, err := status.New(code, text).WithDetails(&errdetails.ErrorInfo{
		Domain: "livequery.v1", Reason: reason, Metadata: map[string]string{"field": field},
	})
	if err != nil {
		return status.Error(code, text)
	}
	return refusal.Err()
}

func parse(q *pb.LiveQuery) (*query, error) {
	if q.GetEntity() != entity {
		return nil, refuse(codes.NotFound, "UNKNOWN_ENTITY", "entity", "there is only "+entity)
	}
	if q.GetMode() == pb.Mode_MODE_STREAMED {
		return nil, bad("mode", "maintained windows only")
	}
	if q.GetLimit() < 1 {
		return nil, bad("limit", "at least 1")
	}
	parsed := &query{limit: int(q.GetLimit()), sort: append(slices.Clone(q.GetSort()), &pb.SortKey{Column: "id"})}
	for at, key := range parsed.sort {
		if column(&tick{}, key.GetColumn()) == nil {
			return nil, bad(fmt.Sprintf("sort[%d].column", at), "no such column")
		}
	}
	for at, c := range q.GetWhere() {
		test, err := condition(fmt.Sprintf("where[%d]", at), c)
		if err != nil {
			return nil, err
		}
		parsed.where = append(parsed.where, test)
	}
	return parsed, parsed.anchor(q.GetCursor())
}

func (q *query) anchor(cursor *pb.Cursor) error {
	q.after = nil
	values := cursor.GetValues()
	if len(values) > 0 && len(values) != len(q.sort) {
		return bad("cursor", "one value per sort key, then the id")
	}
	for at, v := range values {
		got, ok := plain(q.sort[at].GetColumn(), v)
		if !ok {
			return bad("cursor", "a value of another type")
		}
		q.after = append(q.after, got)
	}
	return nil
}

func condition(field string, c *pb.Condition) (func(row) bool, error) {
	if group := c.GetOrGroup(); group != nil {
		var members []func(row) bool
		for at, member := range group.GetConditions() {
			test, err := condition(fmt.Sprintf("%s.or[%d]", field, at), member)
			if err != nil {
				return nil, err
			}
			members = append(members, test)
		}
		return func(r row) bool {
			return slices.ContainsFunc(members, func(test func(row) bool) bool { return test(r) })
		}, nil
	}
	leaf := c.GetComparison()
	name, op := leaf.GetColumn(), leaf.GetOperator()
	if column(&tick{}, name) == nil {
		return nil, bad(field+".column", "no such column")
	}
	operands := leaf.GetList().GetValues()
	if leaf.GetValue() != nil {
		operands = []*pb.Value{leaf.GetValue()}
	}
	var values []value
	for _, operand := range operands {
		got, ok := plain(name, operand)
		if !ok {
			return nil, bad(field+".value", "a value of another type")
		}
		values = append(values, got)
	}
	listed := func(r row) bool { // one value: equal
		return slices.ContainsFunc(values, func(v value) bool { return compare(column(r, name), v) == 0 })
	}
	switch op {
	case pb.Operator_OPERATOR_EQ, pb.Operator_OPERATOR_IN:
		return listed, nil
	case pb.Operator_OPERATOR_NE, pb.Operator_OPERATOR_NOT_IN:
		return func(r row) bool { return !listed(r) }, nil
	}
	if len(values) != 1 {
		return nil, bad(field+".op", "operator is not implemented")
	}
	order := func(r row) int { return compare(column(r, name), values[0]) }
	switch op {
	case pb.Operator_OPERATOR_GT:
		return func(r row) bool { return order(r) > 0 }, nil
	case pb.Operator_OPERATOR_GTE:
		return func(r row) bool { return order(r) >= 0 }, nil
	case pb.Operator_OPERATOR_LT:
		return func(r row) bool { return order(r) < 0 }, nil
	case pb.Operator_OPERATOR_LTE:
		return func(r row) bool { return order(r) <= 0 }, nil
	}
	return nil, bad(field+".op", "operator is not implemented")
}

func (q *query) key(r row) []value {
	values := make([]value, len(q.sort))
	for at, key := range q.sort {
		values[at] = column(r, key.GetColumn())
	}
	return values
}

func (q *query) order(a, b []value) int {
	for at, key := range q.sort {
		if c := compare(a[at], b[at]); c != 0 {
			if key.GetDesc() {
				return -c
			}
			return c
		}
	}
	return 0
}

func (q *query) window(rows map[string]row) []row {
	var found []row
	for _, r := range rows {
		rejects := func(test func(row) bool) bool { return !test(r) }
		if !slices.ContainsFunc(q.where, rejects) && (q.after == nil || q.order(q.key(r), q.after) > 0) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b row) int { return q.order(q.key(a), q.key(b)) })
	return found[:min(len(found), q.limit)]
}

// subscription is one window. All of it but the channels belongs to the table's lock.
type subscription struct {
	query   *query
	window  []row
	epoch   uint64
	seq     uint64
	batches chan *pb.DeltaBatch
	slow    chan struct{} // closed when `batches` was full: a delta is lost
	lost    bool
}

func (s *subscription) push(deltas []*pb.LiveDelta, complete bool) {
	if len(deltas) == 0 || s.lost {
		return
	}
	batch := &pb.DeltaBatch{Epoch: s.epoch, FirstSeq: s.seq + 1, Deltas: deltas, SnapshotComplete: complete}
	s.seq += uint64(len(deltas)) // counts deltas, not batches
	select {
	case s.batches <- batch:
	default:
		s.lost = true
		close(s.slow)
	}
}

func (s *subscription) reset(rows map[string]row, reason pb.ResetReason, requestID string) {
	s.epoch++
	s.window = s.query.window(rows)
	count := int32(len(s.window))
	deltas := []*pb.LiveDelta{{Op: pb.DeltaOp_DELTA_OP_RESET, Reset_: &pb.ResetInfo{
		Reason: reason, RowCount: &count, RequestId: requestID}}}
	for at, r := range s.window {
		deltas = append(deltas, s.delta(pb.DeltaOp_DELTA_OP_ENTER, r, -1, at))
	}
	s.push(deltas, true)
}

// change sends the group of one changed row: exactly the forms of docs/semantics.md.
func (s *subscription) change(rows map[string]row, id, streamID string) {
	old, now := s.window, s.query.window(rows)
	s.window = now
	is := func(r row) bool { return r.ID == id }
	was, at := slices.IndexFunc(old, is), slices.IndexFunc(now, is)
	var deltas []*pb.LiveDelta
	switch {
	case was >= 0 && at >= 0:
		op := pb.DeltaOp_DELTA_OP_UPDATE
		if s.query.order(s.query.key(old[was]), s.query.key(now[at])) != 0 {
			op = pb.DeltaOp_DELTA_OP_MOVE
		}
		deltas = append(deltas, s.delta(op, now[at], was, at))
	case was >= 0:
		deltas = append(deltas, leave(id, was))
		if last := len(now) - 1; len(now) == len(old) { // the next row is promoted
			deltas = append(deltas, s.delta(pb.DeltaOp_DELTA_OP_ENTER, now[last], -1, last))
		}
	case at >= 0:
		deltas = append(deltas, s.delta(pb.DeltaOp_DELTA_OP_ENTER, now[at], -1, at))
		if len(old) == s.query.limit { // at this moment there is one row more than the limit
			deltas = append(deltas, leave(old[len(old)-1].ID, len(old)))
		}
	}
	for _, delta := range deltas {
		delta.StreamId = streamID
		delta.At = timestamppb.Now()
	}
	s.push(deltas, false)
}

func leave(id string, at int) *pb.LiveDelta {
	return &pb.LiveDelta{Op: pb.DeltaOp_DELTA_OP_LEAVE, AggId: id, OldIndex: int32(at), NewIndex: -1}
}

func (s *subscription) delta(op pb.DeltaOp, r row, old, now int) *pb.LiveDelta {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and integers only
	}
	cursor := &pb.Cursor{}
	for _, v := range s.query.key(r) {
		if text, ok := v.(string); ok {
			cursor.Values = append(cursor.Values, &pb.Value{Kind: &pb.Value_StringValue{StringValue: text}})
		} else {
			cursor.Values = append(cursor.Values, &pb.Value{Kind: &pb.Value_IntValue{IntValue: int64(v.(float64))}})
		}
	}
	return &pb.LiveDelta{Op: op, AggId: r.ID, Version: r.version, Row: text,
		OldIndex: int32(old), NewIndex: int32(now), Cursor: cursor}
}

type table struct {
	mu            sync.Mutex
	rows          map[string]row
	subscriptions map[string]*subscription
	// In milliseconds, so that versions and stream ids go up over a restart too.
	start         int64
	changes, made int64
	names         int64
}

func newTable() *table {
	t := &table{rows: map[string]row{}, subscriptions: map[string]*subscription{}, start: time.Now().UnixMilli()}
	for range 36 {
		t.put(t.newRow())
	}
	return t
}

func (t *table) newRow() row {
	t.made++
	symbols := []string{"ACME", "BOLT", "CORE", "DUNE"}
	return &tick{ID: fmt.Sprintf("t%d", t.made), Symbol: symbols[rand.IntN(4)],
		Price: 100 + rand.Int64N(900), Size: 1 + rand.Int64N(99)}
}

// put and remove want the lock held.
func (t *table) put(r row) {
	t.changes++
	r.version = t.start + t.changes
	t.rows[r.ID] = r
	t.changed(r.ID)
}

func (t *table) remove(id string) {
	if t.rows[id] != nil {
		t.changes++
		delete(t.rows, id)
		t.changed(id)
	}
}

func (t *table) changed(id string) {
	for _, s := range t.subscriptions {
		s.change(t.rows, id, fmt.Sprintf("%d-%d", t.start, t.changes))
	}
}

// changeSomething changes mostly prices; now and then a row comes or goes.
func (t *table) changeSomething() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var picked row
	for _, picked = range t.rows { // a map's order is random
		break
	}
	switch dice := rand.Float64(); {
	case dice < 0.1 && len(t.rows) < 48:
		t.put(t.newRow())
	case dice < 0.2 && len(t.rows) > 24:
		t.remove(picked.ID)
	default:
		next := *picked
		if dice < 0.4 {
			next.Size = max(1, next.Size+rand.Int64N(41)-20)
		} else {
			next.Price = max(1, next.Price+rand.Int64N(41)-20)
		}
		t.put(&next)
	}
}

// run changes the table by itself, and by commands on stdin.
func (t *table) run(rate float64) {
	var pace atomic.Int64 // nanoseconds from one change to the next
	set := func(rate float64) {
		if rate > 0 {
			pace.Store(int64(1e9 / rate))
		} else {
			pace.Store(0)
		}
	}
	set(rate)
	go func() {
		for {
			if wait := pace.Load(); wait > 0 {
				time.Sleep(time.Duration(wait))
			} else {
				time.Sleep(50 * time.Millisecond)
			}
			if pace.Load() > 0 {
				t.changeSomething()
			}
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		t.mu.Lock()
		switch {
		case len(words) == 2 && words[0] == "rate":
			number, _ := strconv.ParseFloat(words[1], 64)
			set(number)
		case len(words) == 2 && words[0] == "delete":
			t.remove(words[1])
		case len(words) == 5 && words[0] == "put":
			price, _ := strconv.ParseInt(words[3], 10, 64)
			size, _ := strconv.ParseInt(words[4], 10, 64)
			t.put(&tick{ID: words[1], Symbol: words[2], Price: price, Size: size})
		}
		t.mu.Unlock()
	}
}
