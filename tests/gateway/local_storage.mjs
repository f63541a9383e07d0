// Gives Node the `localStorage` of a browser, kept in a file beside the program.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = "local_storage.json";
const read = () => JSON.parse(readFileSync(FILE, "utf8"));
const write = (values) => writeFileSync(FILE, JSON.stringify(values));

globalThis.localStorage = {
  getItem: (key) => read()[key] ?? null,
  setItem: (key, value) => write({ ...read(), [key]: value }),
  removeItem: (key) => write({ ...read(), [key]: undefined }),
};
