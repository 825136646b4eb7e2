import { describe, expect, it } from 'vitest';
import { agentAddress, appAddress, frameworkAddress, listAddress, parse, taskAddress } from './route';

describe('addresses', () => {
  it('lead back to what they were made of', () => {
    expect(parse(agentAddress('a b/c'))).toMatchObject({ page: 'agent', id: 'a b/c' });
    expect(parse(frameworkAddress('2026-0001'))).toMatchObject({ page: 'framework', id: '2026-0001' });
    expect(parse(taskAddress('fw', 'shop_cart.instance-1#?%'))).toMatchObject({ page: 'task', framework: 'fw', id: 'shop_cart.instance-1#?%' });
    expect(parse(appAddress('/shop/cart'))).toMatchObject({ page: 'app', id: '/shop/cart' });
  });

  it('carry filters, without the empty ones', () => {
    const address = listAddress('tasks', { state: 'running', search: 'a&b', agent: '', framework: null });
    expect(address).toBe('#/tasks?state=running&search=a%26b');
    const route = parse(address);
    expect(route.page).toBe('tasks');
    expect(route.query.get('search')).toBe('a&b');
  });

  it('start at the overview', () => {
    for (const hash of ['', '#', '#/', '#/?x=1']) expect(parse(hash).page, hash).toBe('overview');
  });

  it('say so when they mean nothing', () => {
    for (const hash of ['#/nonsense', '#/tasks/one', '#/agents/a/b', '#/agents/%E0%A4%A']) expect(parse(hash).page, hash).toBe('unknown');
  });
});
