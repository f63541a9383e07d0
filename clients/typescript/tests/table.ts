import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Table {
  steps: { id: string; expects: Record<string, string> }[];
  instead: { step: string; column: string; expects: string[] }[];
}

/** The scenario that all clients share. */
const TABLE: Table = JSON.parse(readFileSync(join(import.meta.dirname, "../../../scenario.json"), "utf8"));
/** Its steps, in their order. */
export const STEPS = TABLE.steps.map(({ id }) => id);

/** Says that an expectation of a step has held; it stands beside the assertions that show it. */
export type Met = (expectation: string) => void;

/**
 * Runs a step, and says what has held, line by line as tools/test_clients.py reads it.
 *
 * @param id The step, as the table names it.
 * @param column Who runs it.
 * @param run Does it; it returns the word that the table has for what was done instead of the step, if it was.
 */
export async function runStep(id: string, column: string, run: (met: Met) => Promise<string | void>): Promise<void> {
  const wanted = expectations(id, column);
  const held: string[] = [];
  const result = await run((expectation) => {
    assert.ok(wanted.includes(expectation), `${column}: the table does not expect ${id}.${expectation}`);
    assert.ok(!held.includes(expectation), `${column}: ${id}.${expectation} was met twice`);
    held.push(expectation);
    console.log(`scenario ${id}.${expectation} ok (${column})`);
  });
  assert.deepEqual(held.toSorted(), wanted.toSorted());
  console.log(`scenario ${id} ${result ?? "ok"} (${column})`);
}

function expectations(id: string, column: string): string[] {
  const instead = TABLE.instead.find((cell) => cell.step === id && cell.column === column);
  return instead?.expects ?? Object.keys(TABLE.steps.find((step) => step.id === id)?.expects ?? {});
}
