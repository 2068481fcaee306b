# The gateway and what it needs to run, in an image without a compiler, a package manager's cache or the tests.
# Node runs the sources as they are, so nothing is built; the version is the one `npm ci` brings along elsewhere.
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional is Node itself, which this image has.
RUN npm ci --omit=dev --omit=optional

FROM node:${NODE_VERSION}-bookworm-slim
ENV NODE_ENV=production
# From outside a container its loopback cannot be reached. Nobody is asked who they are: publish the port to loopback alone, or put
# something before it that asks.
ENV SIGNALBOX__SERVER__HOST=0.0.0.0
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE gateway.toml ./
COPY rules ./rules
COPY src ./src
# For `docker exec`: signalbox check, signalbox backup …
RUN ln -s /app/src/app/signalbox.cjs /usr/local/bin/signalbox
# The only place that is written to: all else may be read-only, with a /tmp if there is memory to save.
RUN install -d -o 1000 -g 1000 -m 0750 /app/data
VOLUME /app/data
# The user `node` of the base image, as a number: Kubernetes can tell that it is not root.
USER 1000:1000
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT ?? 8080}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/src/app/signalbox.cjs"]
CMD ["serve"]
