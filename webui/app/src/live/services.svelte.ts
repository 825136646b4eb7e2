/** The services framework of this cluster, and its events. */

import { byId, type Framework } from '../api/cluster';
import { EVENTS, Refused, ServicesApi } from '../api/services';
import { coalesce } from '../lib/coalesce';
import { openSource } from './source';
import { LiveList } from './watch.svelte';

/** The name under which the services framework registers. */
export const SERVICES = 'services';
/** Events come in bursts (a deployment of 100 instances); a person sees no difference below this. */
const READ_GAP_MS = 120;

/** Which of the frameworks carries the apps: the live one of that name, the youngest if several claim it. */
export function pickServices(frameworks: Framework[]): Framework | null {
  const named = frameworks.filter((framework) => framework.name === SERVICES && framework.webui_url);
  const active = named.filter((framework) => framework.state === 'active');
  const pool = active.length > 0 ? active : named.filter((framework) => framework.state !== 'completed');
  return pool.reduce<Framework | null>((best, next) => (best === null || (next.registered ?? 0) > (best.registered ?? 0) ? next : best), null);
}

/** Finds the services framework and follows it; shared by every page about apps. Call `open` in an effect. */
export class Services {
  #frameworks = new LiveList<Framework>('frameworks', byId);
  /** Undefined until the master answered, null when no services framework is registered. */
  framework = $derived(this.#frameworks.page === null ? undefined : pickServices(this.#frameworks.page.items));
  #id = $derived(this.framework?.id);
  api = $derived(this.#id === undefined ? null : new ServicesApi(this.#id));

  open(): () => void {
    return this.#frameworks.open({ search: SERVICES, limit: 50 });
  }
}

/** Something read from the services framework, read again after events. Call `open` in an effect. */
export class Followed<T> {
  value = $state.raw<T | null>(null);
  /** The last read failed; what is on screen may be old. */
  fault = $state<Refused | Error | null>(null);
  /** Reads again now. */
  again: () => void = () => {};

  open(api: ServicesApi, read: (api: ServicesApi) => Promise<T>, concerns: (data: string) => boolean = () => true): () => void {
    let closed = false;
    const again = coalesce(async () => {
      try {
        const value = await read(api);
        if (closed) return;
        this.value = value;
        this.fault = null;
      } catch (error) {
        if (!closed) this.fault = error instanceof Error ? error : new Error(String(error));
      }
    }, READ_GAP_MS);
    this.again = again;
    const close = openSource({
      url: api.eventsUrl,
      probe: () => `${api.base}/ping`,
      // Whatever happened while no stream was open was missed: every start reads anew.
      opened: again,
      on: Object.fromEntries(EVENTS.map((kind) => [kind, (data: string) => concerns(data) && again()])),
    });
    return () => {
      closed = true;
      again.stop();
      close();
    };
  }
}
