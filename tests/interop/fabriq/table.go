package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pending deltas of a subscription; what is more is dropped without a word, as by fabriq's engine.
const pending = 64

var errNoTenant = errors.New("tenant: none in the call's metadata")

// A row is replaced, never altered. Its members are its columns.
type row struct {
	ID      string `json:"id"`
	Symbol  string `json:"symbol"`
	Price   int64  `json:"price"`
	Size    int64  `json:"size"`
	version int64
}

func (r *row) column(name string) any {
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

func (r *row) raw() json.RawMessage {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and integers only
	}
	return text
}

func compare(a, b any) int {
	if text, ok := a.(string); ok {
		other, _ := b.(string)
		return cmp.Compare(text, other)
	}
	other, _ := b.(float64)
	return cmp.Compare(a.(float64), other)
}

func (q *liveQuery) validate() error {
	if q.Entity != "ticks" {
		return fmt.Errorf("fabriq: unknown entity %q", q.Entity)
	}
	if q.Limit <= 0 {
		return errors.New("fabriq: live query requires Limit > 0")
	}
	for _, key := range q.Sort {
		if (&row{}).column(key.Column) == nil {
			return fmt.Errorf("fabriq: column %q is not sortable for live queries", key.Column)
		}
	}
	return validate(q.Where)
}

func validate(conditions []condition) error {
	for _, c := range conditions {
		if len(c.Or) > 0 {
			if err := validate(c.Or); err != nil {
				return err
			}
		} else if (&row{}).column(c.Column) == nil {
			return fmt.Errorf("fabriq: filter references unknown column %q", c.Column)
		}
	}
	return nil
}

func (c condition) matches(r *row) bool {
	if len(c.Or) > 0 {
		return slices.ContainsFunc(c.Or, func(member condition) bool { return member.matches(r) })
	}
	value := r.column(c.Column)
	listed := func() bool {
		list, _ := c.Value.([]any)
		return slices.ContainsFunc(list, func(each any) bool { return compare(value, each) == 0 })
	}
	switch c.Op {
	case "eq":
		return compare(value, c.Value) == 0
	case "ne":
		return compare(value, c.Value) != 0
	case "gt":
		return compare(value, c.Value) > 0
	case "gte":
		return compare(value, c.Value) >= 0
	case "lt":
		return compare(value, c.Value) < 0
	case "lte":
		return compare(value, c.Value) <= 0
	case "in":
		return listed()
	case "notin":
		return !listed()
	}
	return false
}

func (q *liveQuery) key(r *row) []any {
	var values []any
	for _, key := range q.Sort {
		values = append(values, r.column(key.Column))
	}
	return append(values, r.ID)
}

func (q *liveQuery) order(a, b []any) int {
	for at := range a {
		if c := compare(a[at], b[at]); c != 0 {
			if at < len(q.Sort) && q.Sort[at].Desc {
				return -c
			}
			return c
		}
	}
	return 0
}

func (q *liveQuery) window(rows map[string]*row) []*row {
	var found []*row
	for _, r := range rows {
		rejects := func(c condition) bool { return !c.matches(r) }
		if slices.ContainsFunc(q.Where, rejects) {
			continue
		}
		if q.Cursor == nil || len(q.Cursor.Values) == 0 || q.order(q.key(r), q.Cursor.Values) > 0 {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *row) int { return q.order(q.key(a), q.key(b)) })
	return found[:min(len(found), q.Limit)]
}

// subscription is one window. All of it but the channel belongs to the table's lock.
type subscription struct {
	query  *liveQuery
	window []*row
	deltas chan liveDelta
	drop   int // so many deltas are lost, as if the channel were full
}

func (s *subscription) snapshot(rows map[string]*row, id string) snapshot {
	s.window = s.query.window(rows)
	whole := snapshot{SubID: id}
	for _, r := range s.window {
		vals := map[string]any{"id": r.ID, "symbol": r.Symbol, "price": r.Price, "size": r.Size}
		whole.Rows = append(whole.Rows, snapshotRow{r.ID, r.version, cursor{s.query.key(r)}, r.raw(), vals})
	}
	return whole
}

// change sends the deltas of one changed row, one by one. Of a full window the row that an enter
// pushes out leaves without a word, as in fabriq's engine.
func (s *subscription) change(rows map[string]*row, id, streamID string) {
	old, now := s.window, s.query.window(rows)
	s.window = now
	is := func(r *row) bool { return r.ID == id }
	was, at := slices.IndexFunc(old, is), slices.IndexFunc(now, is)
	send := func(op int, r *row, from, to int) {
		if s.drop > 0 {
			s.drop--
			return
		}
		select {
		case s.deltas <- liveDelta{op, r.ID, r.version, r.raw(), from, to, cursor{s.query.key(r)}, streamID, time.Now()}:
		default:
		}
	}
	switch {
	case was >= 0 && at >= 0 && s.query.order(s.query.key(old[was]), s.query.key(now[at])) != 0:
		send(opMove, now[at], was, at)
	case was >= 0 && at >= 0:
		send(opUpdate, now[at], was, at)
	case was >= 0:
		send(opLeave, old[was], was, -1)
		if last := len(now) - 1; len(now) == len(old) { // the next row is promoted
			send(opEnter, now[last], -1, last)
		}
	case at >= 0:
		send(opEnter, now[at], -1, at)
	}
}

type table struct {
	mu            sync.Mutex
	rows          map[string]*row
	subscriptions map[*subscription]bool
	start         int64 // in milliseconds, so that versions go up over a restart too
	changes, made int64
	rate          atomic.Int64 // changes a second
}

func newTable() *table {
	t := &table{rows: map[string]*row{}, subscriptions: map[*subscription]bool{}, start: time.Now().UnixMilli()}
	for range 36 {
		t.put(t.newRow())
	}
	return t
}

func (t *table) newRow() row {
	t.made++
	symbols := []string{"ACME", "BOLT", "CORE", "DUNE"}
	return row{ID: fmt.Sprintf("t%d", t.made), Symbol: symbols[rand.IntN(4)], Price: 100 + rand.Int64N(900), Size: 1 + rand.Int64N(99)}
}

// put and remove want the lock held.
func (t *table) put(r row) {
	t.changes++
	r.version = t.start + t.changes
	t.rows[r.ID] = &r
	t.changed(r.ID)
}

func (t *table) remove(id string) {
	t.changes++
	delete(t.rows, id)
	t.changed(id)
}

func (t *table) changed(id string) {
	for s := range t.subscriptions {
		s.change(t.rows, id, fmt.Sprintf("%d-%d", t.start, t.changes))
	}
}

// changeSomething looks at the rate under the lock: after `rate 0` nothing changes any more.
func (t *table) changeSomething() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate.Load() <= 0 {
		return
	}
	var picked row
	for _, each := range t.rows { // a map's order is random
		picked = *each
		break
	}
	switch dice := rand.Float64(); {
	case dice < 0.1 && len(t.rows) < 48:
		t.put(t.newRow())
	case dice < 0.2 && len(t.rows) > 24:
		t.remove(picked.ID)
	default:
		picked.Price = max(1, picked.Price+rand.Int64N(41)-20)
		t.put(picked)
	}
}

// run changes the table by itself, and obeys stdin: `rate N`; `drop N` loses deltas of every
// subscription; `window JSON` prints a window.
func (t *table) run() {
	go func() {
		for {
			rate := t.rate.Load()
			time.Sleep(time.Second / time.Duration(max(rate, 20)))
			t.changeSomething()
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "rate":
			number, _ := strconv.ParseFloat(argument, 64)
			t.mu.Lock()
			t.rate.Store(int64(number))
			t.mu.Unlock()
		case "drop":
			number, _ := strconv.Atoi(argument)
			t.mu.Lock()
			for s := range t.subscriptions {
				s.drop = number
			}
			t.mu.Unlock()
		case "window":
			var q liveQuery
			if err := json.Unmarshal([]byte(argument), &q); err != nil {
				panic(err) // the test's own
			}
			t.mu.Lock()
			shown := [][]any{}
			for _, r := range q.window(t.rows) {
				shown = append(shown, []any{r.ID, r.version})
			}
			t.mu.Unlock()
			text, _ := json.Marshal(shown)
			fmt.Println(string(text))
		}
	}
}
