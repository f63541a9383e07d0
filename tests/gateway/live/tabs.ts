// What the tabs of one origin share: a session, and the lock before it.
import { StorageTokenStore } from "@svoykrug/client";

const store = new StorageTokenStore(localStorage);

/** Has another page of this origin hold the lock while this one asks for it; returns what was done, in its order. */
async function orderOfTwoPages(): Promise<string[]> {
  const frame = document.createElement("iframe");
  frame.src = "/";
  document.body.append(frame);
  await new Promise((resolve) => frame.addEventListener("load", resolve));
  const other = (frame.contentWindow as unknown as typeof exposed).store;
  const order: string[] = [];
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let work = Promise.resolve();
  await new Promise<void>((isHeld) => {
    work = other.lock(async () => {
      order.push("the other page begins");
      isHeld();
      await held;
      order.push("the other page ends");
    });
  });
  const ours = store.lock(async () => void order.push("this page"));
  while ((await navigator.locks.query()).pending?.length !== 1) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  letGo();
  await Promise.all([work, ours]);
  return order;
}

const exposed = { store, orderOfTwoPages };
Object.assign(window, exposed);
