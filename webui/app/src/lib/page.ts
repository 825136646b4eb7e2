/** One page of a list, and how a change that the master streams is applied to it. */

export interface Page<T> {
  items: T[];
  /** How many there are with the same filters, on all pages. */
  total: number;
  /** Where the next page starts; null on the last one. */
  next: string | null;
}

export interface Change<T> {
  total?: number;
  upsert?: T[];
  remove?: string[];
  /** The keys of the whole page after the change, in order. */
  order?: string[];
  next?: string | null;
}

/**
 * Returns the page after a change. An item that did not change stays the same object. Keys in `order` that were never
 * sent are left out, so that a lost message shows as a short list and never as an empty row.
 */
export function applyChange<T>(page: Page<T>, change: Change<T>, keyOf: (item: T) => string): Page<T> {
  const held = new Map(page.items.map((item) => [keyOf(item), item]));
  for (const key of change.remove ?? []) held.delete(key);
  for (const item of change.upsert ?? []) held.set(keyOf(item), item);
  const order = change.order ?? [...held.keys()];
  const items = order.flatMap((key) => {
    const item = held.get(key);
    return item === undefined ? [] : [item];
  });
  return { items, total: change.total ?? page.total, next: change.next === undefined ? page.next : change.next };
}
