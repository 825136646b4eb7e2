/** An EventSource that comes back: after an error with growing pauses, and when a hidden tab is looked at again. */

import { untrack } from 'svelte';
import { link, type Refusal } from './link.svelte';

export interface SourceConfig {
  /** Asked for at every attempt, so that a stream can be resumed where it stopped. */
  url: () => string;
  /** What to do with the data of each kind of event. */
  on: Record<string, (data: string) => void>;
  /** Runs at every successful start, the first included. */
  opened?: () => void;
  /** A plain GET that tells why a stream does not start. */
  probe?: () => string;
  /** A refusal (4xx) is final; retrying would get the same. Returns nothing to be told of otherwise. */
  refused?: (status: number, message: string) => void;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 3_000;
/** A tab in the background gives its connections back: a browser opens only six to one server over HTTP/1.1. */
const HIDDEN_FOR_MS = 10_000;

/** Opens the stream and keeps it open until the returned function is called. */
export function openSource(config: SourceConfig): () => void {
  const id = Symbol('source');
  let stream: EventSource | null = null;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let hiding: ReturnType<typeof setTimeout> | undefined;
  let pause = FIRST_PAUSE_MS;
  let closed = false;

  const connect = () => {
    clearTimeout(retry);
    stream?.close();
    const opening = new EventSource(config.url());
    stream = opening;
    opening.onopen = () => {
      pause = FIRST_PAUSE_MS;
      link.holds(id);
      config.opened?.();
    };
    opening.onerror = () => {
      opening.close();
      if (closed || stream !== opening) return;
      stream = null;
      void failed();
    };
    for (const [name, handle] of Object.entries(config.on)) {
      opening.addEventListener(name, (event) => handle((event as MessageEvent<string>).data));
    }
  };

  const failed = async () => {
    // An EventSource does not tell a refusal from a cut; a plain request does.
    const answer = await probe(config.probe?.() ?? null);
    if (closed || stream) return;
    if (answer && answer.status >= 400 && answer.status < 500 && config.refused) {
      link.leaves(id);
      config.refused(answer.status, answer.message);
      return;
    }
    link.broke(id, answer);
    retry = setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  };

  const looked = () => {
    clearTimeout(hiding);
    if (document.visibilityState === 'visible') {
      if (!stream) connect();
    } else {
      hiding = setTimeout(() => {
        clearTimeout(retry);
        stream?.close();
        stream = null;
        link.leaves(id);
      }, HIDDEN_FOR_MS);
    }
  };
  const online = () => {
    pause = FIRST_PAUSE_MS;
    connect();
  };

  document.addEventListener('visibilitychange', looked);
  window.addEventListener('online', online);
  // Called inside effects: what the address is made of at this moment must not reopen the stream when it changes.
  untrack(connect);

  return () => {
    closed = true;
    clearTimeout(retry);
    clearTimeout(hiding);
    stream?.close();
    document.removeEventListener('visibilitychange', looked);
    window.removeEventListener('online', online);
    link.leaves(id);
  };
}

/** Null when the request went well or nothing answered. */
async function probe(url: string | null): Promise<Refusal | null> {
  if (!url) return null;
  try {
    // Following a redirect would leave this origin, which the page may not; that there is one is all there is to know.
    const answer = await fetch(url, { headers: { accept: 'application/json' }, redirect: 'manual' });
    if (answer.type === 'opaqueredirect') return { status: 307, message: 'Another master leads now.' };
    if (answer.ok) return null;
    return { status: answer.status, message: messageOf(await answer.text()) || `The master answered ${answer.status}.` };
  } catch {
    return null;
  }
}

/** The sentence in an error body, which is JSON with a `message` or `error`, or plain text. */
export function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null) {
      const { message, error } = parsed as { message?: unknown; error?: unknown };
      if (typeof message === 'string') return message;
      if (typeof error === 'string') return error;
    }
    return typeof parsed === 'string' ? parsed : '';
  } catch {
    return body.startsWith('<') ? '' : body.trim().slice(0, 300);
  }
}
