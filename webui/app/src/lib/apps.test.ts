import { describe, expect, it } from 'vitest';
import type { App, QueueEntry } from '../api/services';
import { appOfTask, appState, funnelSteps, health, steps, whyNot } from './apps';

const app = (fields: Partial<App>): App => ({ id: '/a', instances: 2, cpus: 1, mem: 64, ...fields });
const NOW = 1_000_000;
const queued = (fields: Partial<QueueEntry>): QueueEntry => ({ count: 1, delay: { timeLeftSeconds: 0, overdue: true }, ...fields });

describe('the state of an app', () => {
  it('is what a person would say', () => {
    expect(appState(app({ tasksRunning: 2 }), undefined, NOW)).toBe('running');
    expect(appState(app({ instances: 0 }), undefined, NOW)).toBe('suspended');
    expect(appState(app({ tasksRunning: 1 }), undefined, NOW)).toBe('degraded');
    expect(appState(app({ tasksRunning: 1, deployments: [{ id: 'd' }] }), undefined, NOW)).toBe('deploying');
  });

  it('names back-off and missing offers even while deploying', () => {
    const deploying = app({ deployments: [{ id: 'd' }] });
    expect(appState(deploying, queued({ delay: { timeLeftSeconds: 9, overdue: false }, readyAt: NOW + 9_000 }), NOW)).toBe('delayed');
    expect(appState(deploying, queued({}), NOW)).toBe('waiting');
    expect(appState({ ...deploying, tasksStaged: 1 }, queued({}), NOW)).toBe('deploying');
  });
});

describe('why an app is not running', () => {
  it('is the reason most offers were turned down', () => {
    const summary = {
      processedOffersCount: 9, unusedOffersCount: 9,
      rejectSummaryLastOffers: [
        { reason: 'UnfulfilledRole', declined: 0, processed: 9 },
        { reason: 'InsufficientCpus', declined: 7, processed: 9 },
        { reason: 'InsufficientMemory', declined: 2, processed: 2 },
      ],
    };
    expect(whyNot(app({}), queued({ processedOffersSummary: summary }), NOW)).toBe('7 of 9 recent offers did not fit: too few CPUs.');
  });

  it('counts the back-off down and ends it', () => {
    const entry = queued({ delay: { timeLeftSeconds: 12, overdue: false }, readyAt: NOW + 12_000 });
    expect(whyNot(app({}), entry, NOW + 5_000)).toContain('7 s');
    expect(appState(app({}), entry, NOW + 12_000)).toBe('waiting');
  });

  it('is back-off before anything else, and nothing when all is well', () => {
    expect(whyNot(app({}), queued({ delay: { timeLeftSeconds: 12, overdue: false }, readyAt: NOW + 11_200 }), NOW)).toContain('12 s');
    expect(whyNot(app({ tasksRunning: 2 }), undefined, NOW)).toBeNull();
    expect(whyNot(app({}), queued({}), NOW)).toContain('next offer');
  });
});

describe('the funnel of offers', () => {
  it('shows the usual steps and those that stopped any', () => {
    const row = (reason: string, declined: number, processed: number) => ({ reason, declined, processed });
    const rows = [
      row('UnfulfilledRole', 0, 9), row('UnfulfilledConstraint', 4, 9), row('AgentMaintenance', 0, 5), row('InsufficientMemory', 5, 5),
      row('InsufficientGpus', 0, 0),
    ];
    expect(funnelSteps(rows).map(({ name, reached, passed }) => [name, reached, passed])).toEqual([
      ['Role', 9, 9], ['Constraint', 9, 5], ['Memory', 5, 0],
    ]);
  });

  it('gives way to the sentence of the services framework', () => {
    const explanation = { id: '/a', waiting: 1, sentence: 'Needs more.', reasons: [], funnel: [], offers: { agents: 1, fitting: 0, absent: 0 } };
    expect(whyNot(app({}), queued({ explanation }), NOW)).toBe('Needs more.');
  });
});

describe('health', () => {
  it('adds up to what is asked for or there', () => {
    for (const fields of [
      { tasksRunning: 1, tasksHealthy: 1 },
      { tasksRunning: 2, tasksHealthy: 1, tasksUnhealthy: 1 },
      { tasksRunning: 5, tasksHealthy: 5 },
      { tasksRunning: 4 },
      { tasksStaged: 2 },
      {},
    ]) {
      const buckets = health(app(fields));
      const sum = Object.values(buckets).reduce((total, bucket) => total + bucket, 0);
      expect(sum, JSON.stringify(fields)).toBe(Math.max(2, (fields.tasksRunning ?? 0) + (fields.tasksStaged ?? 0)));
      expect(Math.min(...Object.values(buckets))).toBeGreaterThanOrEqual(0);
    }
  });
});

describe('steps', () => {
  it('are read in both of their shapes', () => {
    const action = { action: 'ScaleApplication', app: '/a' };
    const plan = { id: 'd', version: 'v', affectedApps: ['/a'], currentActions: [], currentStep: 1, totalSteps: 1 };
    expect(steps({ ...plan, steps: [{ actions: [action] }] })).toEqual([[action]]);
    expect(steps({ ...plan, steps: [[action]] })).toEqual([[action]]);
  });
});

describe('the app of a task', () => {
  it('is in the ids that the services framework makes, and in no others', () => {
    expect(appOfTask('shop_cart-2.instance-0f3c1a52-51b8-4a0f-9d0e-3c8f1b0a9e77._app.12')).toBe('/shop/cart-2');
    for (const id of ['shop_cart', 'shop.instance-1._app.1', 'Shop.instance-0f3c1a52-51b8-4a0f-9d0e-3c8f1b0a9e77._app.1']) expect(appOfTask(id)).toBeNull();
  });
});
