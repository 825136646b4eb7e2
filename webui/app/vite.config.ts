import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `npm run dev` shows the sources against a running master; the built UI is always served by the master itself.
const master = process.env.CHAPADA_MASTER_URL ?? 'http://127.0.0.1:5050';

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    // The content security policy allows nothing inline: small files stay files, and no preload shim is needed.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      // The master takes requests of its own origin only.
      '^/(query|proxy)/': { target: master, changeOrigin: true, headers: { origin: master } },
    },
  },
  test: { include: ['src/**/*.test.ts'] },
});
