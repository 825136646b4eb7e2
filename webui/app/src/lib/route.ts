/** Addresses of the UI: everything after `#`, so that a link never collides with a path of the master's own APIs. */

export type Route =
  | { page: 'overview' | 'agents' | 'frameworks' | 'offers' | 'roles' | 'tasks' | 'apps' | 'deployments'; query: URLSearchParams }
  | { page: 'agent' | 'framework'; id: string; query: URLSearchParams }
  | { page: 'task'; framework: string; id: string; query: URLSearchParams }
  | { page: 'app'; id: string; query: URLSearchParams }
  | { page: 'unknown'; address: string; query: URLSearchParams };

export type PageName = Route['page'];

const LISTS = new Set(['agents', 'frameworks', 'offers', 'roles', 'tasks', 'apps', 'deployments']);

/** Reads `location.hash`. An address that means nothing becomes the page that says so. */
export function parse(hash: string): Route {
  const address = hash.replace(/^#/, '');
  const cut = address.indexOf('?');
  const path = cut < 0 ? address : address.slice(0, cut);
  const query = new URLSearchParams(cut < 0 ? '' : address.slice(cut + 1));
  const unknown: Route = { page: 'unknown', address, query };
  const parts = path.split('/').filter((part) => part !== '');
  let [head, ...rest] = parts;
  try {
    rest = rest.map(decodeURIComponent);
  } catch {
    return unknown;
  }
  if (head === undefined) return { page: 'overview', query };
  const [first, second] = rest;
  if (rest.length === 0 && LISTS.has(head)) return { page: head as 'agents', query };
  if (head === 'apps') return { page: 'app', id: `/${rest.join('/')}`, query };
  if (rest.length === 1 && head === 'agents') return { page: 'agent', id: first as string, query };
  if (rest.length === 1 && head === 'frameworks') return { page: 'framework', id: first as string, query };
  if (rest.length === 2 && head === 'tasks') return { page: 'task', framework: first as string, id: second as string, query };
  return unknown;
}

/** A list with some of its filters set; empty ones are left out. */
export function listAddress(list: string, filters: Record<string, string | null | undefined> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
  const text = query.toString();
  return `#/${list}${text ? `?${text}` : ''}`;
}

export const agentAddress = (id: string) => `#/agents/${encodeURIComponent(id)}`;
export const frameworkAddress = (id: string) => `#/frameworks/${encodeURIComponent(id)}`;
export const taskAddress = (framework: string, id: string) => `#/tasks/${encodeURIComponent(framework)}/${encodeURIComponent(id)}`;
/** App ids are paths (`/shop/cart`) and stay readable as such. */
export const appAddress = (id: string) => `#/apps${id.startsWith('/') ? '' : '/'}${id.split('/').map(encodeURIComponent).join('/')}`;
