/** The page the browser is at. */

import { parse, type Route } from '../lib/route';

class Address {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    window.addEventListener('hashchange', () => (this.route = parse(location.hash)));
  }

  /** Sets filters of the page that is open. Typing in a search field replaces the entry in the history, it adds none. */
  filter(changes: Record<string, string | null>, options: { replace?: boolean } = {}) {
    const [path = '#/'] = location.hash.split('?');
    const query = new URLSearchParams(this.route.query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    const hash = `${path || '#/'}${text ? `?${text}` : ''}`;
    if (options.replace) {
      history.replaceState(null, '', hash);
      this.route = parse(hash);
    } else location.hash = hash;
  }
}

export const address = new Address();
