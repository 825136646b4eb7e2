/** What the master streams about one page of a list, or about one thing. */

import { untrack } from 'svelte';
import { applyChange, type Change, type Page } from '../lib/page';
import { openSource } from './source';

export type Filters = Record<string, string | number | null | undefined>;

export function queryText(filters: Filters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) if (value !== null && value !== undefined && value !== '') query.set(name, String(value));
  return query.toString();
}

/** One page of a list, live. Call `open` in an effect: a change of filters closes one stream and opens the next. */
export class LiveList<T> {
  page = $state.raw<Page<T> | null>(null);
  /** Why the master refuses this list, for instance a filter it does not know. */
  fault = $state<string | null>(null);
  /** A page with other filters was asked for and the one on screen is still the old one. */
  stale = $state(false);
  /** Keys of what the last change touched, to be marked for a moment. */
  touched = $state.raw<ReadonlySet<string>>(new Set());

  constructor(
    private readonly of: string,
    readonly keyOf: (item: T) => string,
  ) {}

  open(filters: Filters): () => void {
    const query = queryText(filters);
    untrack(() => {
      this.stale = this.page !== null;
      this.fault = null;
    });
    return openSource({
      url: () => `/query/v1/watch?of=${this.of}${query ? `&${query}` : ''}`,
      probe: () => `/query/v1/${this.of}${query ? `?${query}` : ''}`,
      refused: (_, message) => {
        this.fault = message;
        this.page = { items: [], total: 0, next: null };
      },
      on: {
        page: (data) => {
          this.page = JSON.parse(data) as Page<T>;
          this.stale = false;
          this.fault = null;
          this.touched = new Set();
        },
        change: (data) => {
          if (!this.page) return;
          const change = JSON.parse(data) as Change<T>;
          this.page = applyChange(this.page, change, this.keyOf);
          this.touched = new Set((change.upsert ?? []).map(this.keyOf));
        },
      },
    });
  }
}

/** One thing, live: undefined until the master answered, null when there is no such thing. */
export class LiveItem<T> {
  value = $state.raw<T | null | undefined>(undefined);

  constructor(private readonly of: string) {}

  open(filters: Filters, address: string): () => void {
    const query = queryText(filters);
    untrack(() => (this.value = undefined));
    const take = (data: string) => (this.value = JSON.parse(data) as T | null);
    return openSource({
      url: () => `/query/v1/watch?of=${this.of}${query ? `&${query}` : ''}`,
      probe: () => `/query/v1/${address}`,
      refused: () => (this.value = null),
      on: { page: take, item: take, change: take },
    });
  }
}
