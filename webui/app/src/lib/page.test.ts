import { describe, expect, it } from 'vitest';
import { applyChange, type Page } from './page';

interface Item { id: string; state: string }
const key = (item: Item) => item.id;
const page = (...ids: string[]): Page<Item> => ({ items: ids.map((id) => ({ id, state: 'old' })), total: ids.length, next: null });

describe('applyChange', () => {
  it('replaces what changed and keeps the rest as it is', () => {
    const before = page('a', 'b');
    const after = applyChange(before, { total: 2, upsert: [{ id: 'b', state: 'new' }], remove: [], order: ['a', 'b'] }, key);
    expect(after.items.map((item) => item.state)).toEqual(['old', 'new']);
    expect(after.items[0]).toBe(before.items[0]);
    expect(before.items[1]?.state).toBe('old');
  });

  it('follows the order it is given', () => {
    const after = applyChange(page('a', 'b'), { total: 3, upsert: [{ id: 'c', state: 'new' }], order: ['c', 'a', 'b'] }, key);
    expect(after.items.map(key)).toEqual(['c', 'a', 'b']);
    expect(after.total).toBe(3);
  });

  it('drops what left the page', () => {
    expect(applyChange(page('a', 'b'), { remove: ['a'], total: 1, order: ['b'] }, key).items.map(key)).toEqual(['b']);
    expect(applyChange(page('a', 'b'), { total: 9, order: ['b'] }, key).items.map(key)).toEqual(['b']);
  });

  it('shows no row for an item it was never sent', () => {
    expect(applyChange(page('a'), { order: ['a', 'ghost'] }, key).items.map(key)).toEqual(['a']);
  });

  it('keeps total and cursor when the change does not name them', () => {
    const after = applyChange({ ...page('a'), total: 70, next: 'cursor' }, { upsert: [{ id: 'a', state: 'new' }] }, key);
    expect([after.total, after.next]).toEqual([70, 'cursor']);
    expect(applyChange(after, { next: null }, key).next).toBeNull();
  });
});
