import { describe, expect, it } from 'vitest';
import type { Framework } from '../api/cluster';
import { pickServices } from './services.svelte';

const framework = (fields: Partial<Framework>): Framework => ({
  id: 'f', name: 'services', user: '', principal: null, roles: [], state: 'active', registered: 1, hostname: '', webui_url: 'http://h:1',
  resources: { allocated: {}, offered: {} }, tasks: 0, capabilities: [], ...fields,
});

describe('the services framework', () => {
  it('is the live one of that name', () => {
    const found = pickServices([
      framework({ id: 'old', state: 'completed', registered: 9 }),
      framework({ id: 'other', name: 'services-of-mine' }),
      framework({ id: 'closed', webui_url: null }),
      framework({ id: 'this' }),
    ]);
    expect(found?.id).toBe('this');
  });

  it('is still shown while it is away, but not when it is gone', () => {
    expect(pickServices([framework({ id: 'away', state: 'disconnected' })])?.id).toBe('away');
    expect(pickServices([framework({ state: 'completed' })])).toBeNull();
    expect(pickServices([])).toBeNull();
  });

  it('is the youngest when several claim the name', () => {
    expect(pickServices([framework({ id: 'a', registered: 5 }), framework({ id: 'b', registered: 8 })])?.id).toBe('b');
  });
});
