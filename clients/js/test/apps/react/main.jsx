import { LiveClient } from "livequery-client";
import { useLive, useLiveList } from "livequery-client/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

const client = new LiveClient(new URLSearchParams(location.search).get("bridge"), { share: true });

function Orders() {
  const open = useLive(client, { entity: "orders", where: [["status", "=", "open"]], sort: ["-total"], limit: 5 });
  const all = useLiveList(client, { entity: "orders", sort: ["-total"] }, { page: 10 });
  return (
    <>
      <p>{open.error?.message ?? open.status}</p>
      <ul id="open">{open.rows.map(({ agg_id, row }) => <li key={agg_id}>{row.id}</li>)}</ul>
      <ul id="all">{all.rows.map(({ agg_id, row }) => <li key={agg_id}>{row.id}</li>)}</ul>
      <button disabled={!all.hasMore} onClick={all.loadMore}>more</button>
    </>
  );
}

createRoot(document.querySelector("#root")).render(<StrictMode><Orders /></StrictMode>);
