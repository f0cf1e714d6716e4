// What the page of goim's example does on its socket, in a browser: one auth
// without a key, a heartbeat as soon as it is answered, always sequence 1, and
// frames of operation 9 taken apart by the lengths in them. t/goim_clients.t
// evaluates this file in a tab.

'use strict';

class GoimPage {
    constructor(url) {
        this.replies = [];          // [operation, sequence, body length]
        this.frames = [];           // packets in each frame of operation 9
        this.messages = [];         // [operation, version, sequence, text]
        this.online = null;
        this.closed = false;

        this.ws = new WebSocket(url);
        this.ws.binaryType = 'arraybuffer';
        this.ws.onopen = () => this.send(7, '{"mid":123, '
            + '"room_id":"live://1000", "platform":"web", '
            + '"accepts":[1000,1001,1002]}');
        this.ws.onmessage = (event) => this.received(event.data);
        this.ws.onclose = () => { this.closed = true; };
    }

    send(operation, text) {
        const body = new TextEncoder().encode(text);
        const packet = new Uint8Array(16 + body.length);
        const head = new DataView(packet.buffer);

        head.setInt32(0, packet.length);
        head.setInt16(4, 16);
        head.setInt16(6, 1);
        head.setInt32(8, operation);
        head.setInt32(12, 1);
        packet.set(body, 16);
        this.ws.send(packet.buffer);
    }

    heartbeat() {
        this.send(2, '');
    }

    received(data) {
        const outer = this.packet(data, 0);

        if (outer.operation !== 9) {
            this.replies.push([outer.operation, outer.sequence,
                outer.end - outer.body]);

            if (outer.operation === 8) {
                this.heartbeat();

            } else if (outer.operation === 3) {
                this.online = new DataView(data).getInt32(outer.body);
            }

            return;
        }

        let n = 0;

        for (let at = 16; at < data.byteLength; n++) {
            const inner = this.packet(data, at);

            this.messages.push([inner.operation, inner.version,
                inner.sequence,
                new TextDecoder().decode(data.slice(inner.body, inner.end))]);
            at = inner.end;
        }

        this.frames.push(n);
    }

    packet(data, at) {
        const head = new DataView(data, at);

        return {
            end: at + head.getInt32(0), body: at + head.getInt16(4),
            version: head.getInt16(6), operation: head.getInt32(8),
            sequence: head.getInt32(12),
        };
    }
}

globalThis.GoimPage = GoimPage;
