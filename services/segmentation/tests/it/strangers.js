// Sends calls with Segment's own client for Node, which knows nothing of this service but its address and a key.

const { Analytics } = require('@segment/analytics-node');

const [host, writeKey] = process.argv.slice(1);
const analytics = new Analytics({ host, writeKey, maxRetries: 0, flushAt: 5 });
const failures = [];
analytics.on('error', (error) => failures.push(error.reason ?? error));

async function main() {
  analytics.page({ anonymousId: 'visitor-1', name: 'Pricing', category: 'Site', messageId: 'm-1' });
  analytics.identify({
    userId: 'ana',
    anonymousId: 'visitor-1',
    traits: {
      email: 'ana@example.com',
      plan: 'pro',
      logins: 5,
      vip: true,
      createdAt: new Date('2015-02-23T22:28:55Z'),
      address: { postalCode: '94103' },
      tags: ['b', 'a'],
    },
    messageId: 'm-2',
  });
  analytics.track({
    userId: 'ana',
    event: 'Order Completed',
    properties: { revenue: 27.5, orderId: 7 },
    messageId: 'm-3',
  });
  analytics.track({ userId: 'ana@example.com', event: 'Signed Up', messageId: 'm-4' });
  analytics.screen({ userId: 'ana', name: 'Start', messageId: 'm-5' });
  await analytics.closeAndFlush();
  if (failures.length > 0) {
    console.error(String(failures[0]));
    process.exit(1);
  }
}

main();
