//! The table and the windows over it: what stands here for your engine. Knows no gRPC server.
//!
//! Invariant: a change is applied under the table's lock, and its group is made and numbered right
//! there, so nothing between here and the bridge can lose a delta unseen. Nobody waits for a
//! consumer: one that does not read loses its stream.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tonic::Status;

use crate::pb;
use pb::value::Kind;

const PENDING: usize = 1000; // batches that wait for a consumer; then its stream is given up
const SYMBOLS: [&str; 4] = ["ACME", "BOLT", "CORE", "DUNE"];

#[derive(Clone, Default)]
pub struct Row {
    version: i64,
    id: String,
    symbol: String,
    price: i64,
    size: i64,
}

/// A double holds all integers of this table exactly.
#[derive(Clone, PartialEq, PartialOrd)]
enum Val {
    Text(String),
    Number(f64),
}

impl Row {
    fn column(&self, name: &str) -> Option<Val> {
        match name {
            "id" => Some(Val::Text(self.id.clone())),
            "symbol" => Some(Val::Text(self.symbol.clone())),
            "price" => Some(Val::Number(self.price as f64)),
            "size" => Some(Val::Number(self.size as f64)),
            _ => None,
        }
    }

    fn json(&self) -> Vec<u8> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let (id, symbol) = (quoted(&self.id), quoted(&self.symbol));
        let (price, size) = (self.price, self.size);
        format!(r#"{{"id":{id},"symbol":{symbol},"price":{price},"size":{size}}}"#).into_bytes()
    }
}

type Test = Box<dyn Fn(&Row) -> bool + Send>;

/// A LiveQuery, checked: which rows, in what order, from where, how many.
pub struct Query {
    tests: Vec<Test>,
    sort: Vec<(String, bool)>, // with the id as the last
    after: Vec<Val>,
    limit: usize,
}

fn bad(text: &str) -> Status {
    Status::invalid_argument(text)
}

fn known(column: &str) -> Result<String, Status> {
    match Row::default().column(column) {
        Some(_) => Ok(column.to_string()),
        None => Err(bad("no such column")),
    }
}

/// Numbers compare by value, whatever their kind on the wire.
fn plain(column: &str, value: &pb::Value) -> Result<Val, Status> {
    let got = match value.kind.as_ref() {
        Some(Kind::StringValue(text)) => Some(Val::Text(text.clone())),
        Some(Kind::IntValue(number)) => Some(Val::Number(*number as f64)),
        Some(Kind::UintValue(number)) => Some(Val::Number(*number as f64)),
        Some(Kind::DoubleValue(number)) => Some(Val::Number(*number)),
        _ => None,
    };
    match (got, Row::default().column(column)) {
        (Some(Val::Text(text)), Some(Val::Text(_))) => Ok(Val::Text(text)),
        (Some(Val::Number(number)), Some(Val::Number(_))) => Ok(Val::Number(number)),
        _ => Err(bad("compared with another type")),
    }
}

fn condition(condition: &pb::Condition) -> Result<Test, Status> {
    let leaf = match condition.kind.as_ref() {
        Some(pb::condition::Kind::OrGroup(group)) => {
            let members = group.conditions.iter().map(self::condition).collect::<Result<Vec<_>, _>>()?;
            return Ok(Box::new(move |row| members.iter().any(|test| test(row))));
        }
        Some(pb::condition::Kind::Comparison(leaf)) => leaf,
        None => return Err(bad("an empty condition")),
    };
    let column = known(&leaf.column)?;
    let operands = match leaf.operand.as_ref() {
        Some(pb::comparison::Operand::Value(value)) => std::slice::from_ref(value),
        Some(pb::comparison::Operand::List(list)) => &list.values,
        None => &[],
    };
    let values = operands.iter().map(|value| plain(&column, value)).collect::<Result<Vec<_>, _>>()?;
    let (wanted, negated): (&'static [Ordering], bool) = match leaf.operator() {
        pb::Operator::Eq | pb::Operator::In => (&[Ordering::Equal], false),
        pb::Operator::Ne | pb::Operator::NotIn => (&[Ordering::Equal], true),
        pb::Operator::Gt => (&[Ordering::Greater], false),
        pb::Operator::Gte => (&[Ordering::Greater, Ordering::Equal], false),
        pb::Operator::Lt => (&[Ordering::Less], false),
        pb::Operator::Lte => (&[Ordering::Less, Ordering::Equal], false),
        _ => return Err(bad("operator is not implemented")),
    };
    Ok(Box::new(move |row| {
        let cell = row.column(&column).expect("a known column");
        let holds = |value| cell.partial_cmp(value).is_some_and(|order| wanted.contains(&order));
        values.iter().any(holds) != negated
    }))
}

impl Query {
    pub fn new(query: &pb::LiveQuery) -> Result<Query, Status> {
        if query.entity != "ticks" {
            return Err(Status::not_found("there is only ticks"));
        }
        if query.mode() == pb::Mode::Streamed || query.limit < 1 {
            return Err(bad("maintained windows of at least one row only"));
        }
        let mut sort = Vec::new();
        for key in &query.sort {
            sort.push((known(&key.column)?, key.desc));
        }
        sort.push(("id".to_string(), false));
        let cursor = query.cursor.as_ref().map_or(&[][..], |cursor| &cursor.values);
        if !cursor.is_empty() && cursor.len() != sort.len() {
            return Err(bad("cursor: one value per sort key, then the id"));
        }
        let after = cursor.iter().zip(&sort).map(|(value, (column, _))| plain(column, value));
        Ok(Query {
            after: after.collect::<Result<_, _>>()?,
            tests: query.r#where.iter().map(condition).collect::<Result<_, _>>()?,
            limit: query.limit as usize,
            sort,
        })
    }

    /// The first rows that match, behind the cursor.
    fn window(&self, rows: &BTreeMap<String, Row>) -> Vec<Row> {
        let matches = |row: &&Row| {
            self.tests.iter().all(|test| test(row))
                && (self.after.is_empty() || self.order(&self.key(row), &self.after).is_gt())
        };
        let mut found: Vec<Row> = rows.values().filter(matches).cloned().collect();
        found.sort_by(|a, b| self.order(&self.key(a), &self.key(b)));
        found.truncate(self.limit);
        found
    }

    fn key(&self, row: &Row) -> Vec<Val> {
        self.sort.iter().map(|(column, _)| row.column(column).expect("a known column")).collect()
    }

    fn order(&self, a: &[Val], b: &[Val]) -> Ordering {
        for (at, (_, desc)) in self.sort.iter().enumerate() {
            match a[at].partial_cmp(&b[at]).unwrap_or(Ordering::Equal) {
                Ordering::Equal => continue,
                order => return if *desc { order.reverse() } else { order },
            }
        }
        Ordering::Equal
    }
}

struct Subscription {
    query: Query,
    window: Vec<Row>,
    seq: u64,
    batches: mpsc::Sender<pb::DeltaBatch>,
    end: Arc<OnceLock<Status>>,
}

/// What a subscriber reads: batches, and why there are no more.
pub struct Batches {
    pub id: u64,
    pub batches: mpsc::Receiver<pb::DeltaBatch>,
    pub end: Arc<OnceLock<Status>>,
}

impl Subscription {
    fn snapshot(&mut self) {
        let reset = pb::ResetInfo {
            reason: pb::ResetReason::Initial.into(),
            row_count: Some(self.window.len() as i32),
            ..Default::default()
        };
        let mut deltas = vec![pb::LiveDelta { op: pb::DeltaOp::Reset.into(), reset: Some(reset), ..Default::default() }];
        for (at, row) in self.window.iter().enumerate() {
            deltas.push(self.delta(pb::DeltaOp::Enter, row, -1, at as i32));
        }
        self.push(deltas, true);
    }

    /// Send the group of one changed row: exactly the forms of docs/semantics.md.
    fn change(&mut self, rows: &BTreeMap<String, Row>, id: &str, stream_id: &str) {
        let new = self.query.window(rows);
        let old = std::mem::replace(&mut self.window, new);
        let new = &self.window;
        let index = |window: &[Row]| window.iter().position(|row| row.id == id);
        let mut deltas = Vec::new();
        match (index(&old), index(new)) {
            (Some(was), Some(at)) => {
                let moved = self.query.order(&self.query.key(&old[was]), &self.query.key(&new[at])).is_ne();
                let op = if moved { pb::DeltaOp::Move } else { pb::DeltaOp::Update };
                deltas.push(self.delta(op, &new[at], was as i32, at as i32));
            }
            (Some(was), None) => {
                deltas.push(leave(id, was));
                if new.len() == old.len() {
                    // The next row is promoted.
                    let last = new.len() - 1;
                    deltas.push(self.delta(pb::DeltaOp::Enter, &new[last], -1, last as i32));
                }
            }
            (None, Some(at)) => {
                deltas.push(self.delta(pb::DeltaOp::Enter, &new[at], -1, at as i32));
                if old.len() == self.query.limit {
                    // At this moment there is one row more than the limit.
                    deltas.push(leave(&old[old.len() - 1].id, old.len()));
                }
            }
            (None, None) => return,
        }
        for delta in &mut deltas {
            delta.stream_id = stream_id.to_string();
            delta.at = Some(SystemTime::now().into());
        }
        self.push(deltas, false);
    }

    fn push(&mut self, deltas: Vec<pb::LiveDelta>, snapshot_complete: bool) {
        let first_seq = self.seq + 1;
        self.seq += deltas.len() as u64; // counts deltas, not batches
        let batch = pb::DeltaBatch { epoch: 1, first_seq, deltas, snapshot_complete };
        if self.batches.try_send(batch).is_err() {
            let _ = self.end.set(Status::aborted("the consumer does not read"));
        }
    }

    fn delta(&self, op: pb::DeltaOp, row: &Row, old_index: i32, new_index: i32) -> pb::LiveDelta {
        let value = |val| match val {
            Val::Text(text) => pb::Value { kind: Some(Kind::StringValue(text)) },
            Val::Number(number) => pb::Value { kind: Some(Kind::IntValue(number as i64)) },
        };
        pb::LiveDelta {
            op: op.into(),
            agg_id: row.id.clone(),
            version: row.version,
            row: row.json(),
            old_index,
            new_index,
            cursor: Some(pb::Cursor { values: self.query.key(row).into_iter().map(value).collect() }),
            ..Default::default()
        }
    }
}

fn leave(id: &str, at: usize) -> pb::LiveDelta {
    pb::LiveDelta {
        op: pb::DeltaOp::Leave.into(),
        agg_id: id.to_string(),
        old_index: at as i32,
        new_index: -1,
        ..Default::default()
    }
}

/// Rows, and everybody who watches them.
pub struct Table {
    rows: BTreeMap<String, Row>,
    subscriptions: BTreeMap<u64, Subscription>,
    start: i64, // in milliseconds, so that versions and stream ids go up over a restart too
    changes: i64,
    made: u64,
    names: u64,
    random: u64,
    rate: f64,
}

impl Table {
    pub fn new(rate: f64) -> Table {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as i64;
        let (rows, subscriptions) = (BTreeMap::new(), BTreeMap::new());
        let mut table =
            Table { rows, subscriptions, start, changes: 0, made: 0, names: 0, random: start as u64 | 1, rate };
        for _ in 0..36 {
            table.put_new();
        }
        table
    }

    pub fn subscribe(&mut self, query: Query) -> Batches {
        self.names += 1;
        let (sender, batches) = mpsc::channel(PENDING);
        let end = Arc::new(OnceLock::new());
        let window = query.window(&self.rows);
        let mut subscription = Subscription { query, window, seq: 0, batches: sender, end: end.clone() };
        subscription.snapshot();
        self.subscriptions.insert(self.names, subscription);
        Batches { id: self.names, batches, end }
    }

    pub fn unsubscribe(&mut self, id: u64) {
        self.subscriptions.remove(&id);
    }

    /// End all streams with UNAVAILABLE. OK would end the browsers' streams for good.
    pub fn stop(&mut self) {
        for subscription in self.subscriptions.values() {
            let _ = subscription.end.set(Status::unavailable("stopping"));
        }
        self.subscriptions.clear();
    }

    fn put(&mut self, mut row: Row) {
        self.changes += 1;
        row.version = self.start + self.changes;
        let id = row.id.clone();
        self.rows.insert(id.clone(), row);
        self.changed(&id);
    }

    fn delete(&mut self, id: &str) {
        if self.rows.remove(id).is_some() {
            self.changes += 1;
            self.changed(id);
        }
    }

    fn changed(&mut self, id: &str) {
        let stream_id = format!("{}-{}", self.start, self.changes);
        for subscription in self.subscriptions.values_mut() {
            subscription.change(&self.rows, id, &stream_id);
        }
        self.subscriptions.retain(|_, subscription| subscription.end.get().is_none());
    }

    /// A random number below another: xorshift is enough here.
    fn below(&mut self, number: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % number
    }

    fn put_new(&mut self) {
        self.made += 1;
        let symbol = SYMBOLS[self.below(4) as usize].to_string();
        let (price, size) = (100 + self.below(900) as i64, 1 + self.below(99) as i64);
        self.put(Row { version: 0, id: format!("t{}", self.made), symbol, price, size });
    }

    /// Mostly prices; now and then a row comes or goes.
    fn change_something(&mut self) {
        let at = self.below(self.rows.len() as u64) as usize;
        let mut row = self.rows.values().nth(at).expect("a row").clone();
        let step = self.below(41) as i64 - 20;
        match self.below(10) {
            0 if self.rows.len() < 48 => self.put_new(),
            1 if self.rows.len() > 24 => self.delete(&row.id),
            dice => {
                let cell = if dice < 4 { &mut row.size } else { &mut row.price };
                *cell = (*cell + step).max(1);
                self.put(row);
            }
        }
    }

    fn obey(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["rate", rate] => self.rate = rate.parse().ok()?,
            ["delete", id] => self.delete(id),
            ["put", id, symbol, price, size] => {
                let (price, size) = (price.parse().ok()?, size.parse().ok()?);
                self.put(Row { version: 0, id: id.into(), symbol: symbol.into(), price, size });
            }
            _ => return None,
        }
        Some(())
    }
}

/// Change the table by itself, and by commands on stdin, in two threads.
pub fn run(table: Arc<Mutex<Table>>) {
    let commanded = table.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if commanded.lock().expect("no panic").obey(&line).is_none() {
                eprintln!("not understood: {line}");
            }
        }
    });
    std::thread::spawn(move || loop {
        let rate = table.lock().expect("no panic").rate;
        std::thread::sleep(Duration::from_secs_f64(if rate > 0.0 { 1.0 / rate } else { 0.05 }));
        let mut table = table.lock().expect("no panic");
        if table.rate > 0.0 {
            table.change_something();
        }
    });
}
