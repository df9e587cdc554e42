// A database, a tier and a bridge before it, in a process of their own.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** @param {{ rows?: number, options?: Record<string, string> }} [options] */
export async function startHouse(options = {}) {
  const python = process.env.LIVEQUERY_PYTHON ?? `${ROOT}/.venv/bin/python`;
  const child = spawn(python, [`${ROOT}/tests/support/client_house.py`, JSON.stringify(options)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const line = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (piece) => {
      text += piece;
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.on("exit", () => reject(new Error("the house did not start")));
  });
  const { base, control } = JSON.parse(line);
  const call = async (name, ...args) => {
    const response = await fetch(control, { method: "POST", body: JSON.stringify({ do: name, args }) });
    if (!response.ok) throw new Error(`${name}: ${await response.text()}`);
    return response.json();
  };
  return {
    base,
    call,
    sql: (...statements) => call("sql", ...statements),
    select: (text, parameters = []) => call("select", text, parameters),
    async stop() {
      child.stdin.end();
      await new Promise((resolve) => (child.exitCode === null ? child.on("exit", resolve) : resolve()));
    },
  };
}

/** Waits until something holds; what it throws or returns last is told where it never does. */
export async function until(check, within = 10_000) {
  const end = Date.now() + within;
  for (;;) {
    let said;
    try {
      said = await check();
      if (said === true) return;
    } catch (error) {
      said = error;
    }
    if (Date.now() > end) throw said instanceof Error ? said : new Error(`not in time: ${JSON.stringify(said)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const columns = (rows) => rows.map(({ row }) => row);
