import crypto from 'crypto';

function answer(r) {
    const mac = crypto.createHmac('sha256', 'YOUR_CHALLENGE_SECRET').update(r.args.crc_token).digest('base64');
    r.headersOut['Content-Type'] = 'application/json';
    r.return(200, JSON.stringify({response_token: 'sha256=' + mac}));
}

export default {answer};
