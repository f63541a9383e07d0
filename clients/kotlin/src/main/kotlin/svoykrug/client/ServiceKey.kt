package svoykrug.client

import com.google.gson.Gson
import com.google.gson.JsonObject
import com.google.gson.JsonParseException
import java.io.File
import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.PrivateKey
import java.security.Signature
import java.security.interfaces.ECPrivateKey
import java.security.spec.PKCS8EncodedKeySpec
import java.util.Base64
import java.util.UUID
import kotlin.time.Duration.Companion.minutes

private val ASSERTION_LIFE = 2.minutes
private const val P256_BITS = 256

/**
 * What a service needs to sign in, on the JVM. It prints without its secret.
 *
 * @param accountId Names the account on the server.
 * @param keyId Names the account's public key there.
 * @param audience Whom assertions are for: the server's issuer, `svoykrug` by default.
 * @param privateKeyPem A P-256 or RSA key in PKCS 8.
 * @throws IllegalArgumentException The key is neither.
 */
public class ServiceKey(
    private val accountId: String,
    private val keyId: String,
    private val audience: String,
    privateKeyPem: String,
) {
    private val private: PrivateKey = readKey(privateKeyPem)

    // Java's own form of an ECDSA signature is DER; a JWT has the two numbers side by side.
    private val algorithm = if (private is ECPrivateKey) "SHA256withECDSAinP1363Format" else "SHA256withRSA"

    /** Dates assertions, in milliseconds since 1970; it may be minutes wrong. */
    internal var wallClock: () -> Long = System::currentTimeMillis

    override fun toString(): String = "key $keyId of service account $accountId"

    /** Signs a new assertion (RFC 7523); each is good once. */
    internal fun assertion(): String {
        val issued = wallClock() / 1_000
        val header = mapOf("alg" to if (private is ECPrivateKey) "ES256" else "RS256", "kid" to keyId, "typ" to "JWT")
        val claims = mapOf(
            "iss" to accountId,
            "sub" to accountId,
            "aud" to audience,
            "jti" to UUID.randomUUID().toString(),
            "iat" to issued,
            "exp" to issued + ASSERTION_LIFE.inWholeSeconds,
        )
        val signed = "${encoded(Gson().toJson(header).toByteArray())}.${encoded(Gson().toJson(claims).toByteArray())}"
        val signature = Signature.getInstance(algorithm).apply {
            initSign(private)
            update(signed.toByteArray())
        }
        return "$signed.${encoded(signature.sign())}"
    }

    public companion object {
        /**
         * Reads a key file as `svoykrug keys create-service-account` writes it.
         *
         * @throws IllegalArgumentException The file holds no key.
         */
        public fun fromFile(file: File): ServiceKey {
            val fields = try {
                Gson().fromJson(file.readText(), JsonObject::class.java)
            } catch (_: JsonParseException) {
                null
            }
            val (account, key, audience, pem) =
                listOf("service_account_id", "key_id", "audience", "private_key_pem").map { name ->
                    requireNotNull(fields?.get(name)?.asString) { "$file holds no service account key" }
                }
            return ServiceKey(account, key, audience, pem)
        }
    }
}

private fun encoded(bytes: ByteArray): String = Base64.getUrlEncoder().withoutPadding().encodeToString(bytes)

private fun readKey(pem: String): PrivateKey {
    val content = pem.lineSequence().filterNot { it.startsWith("-----") }.joinToString("")
    val spec = PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(content))
    val key = listOf("EC", "RSA").firstNotNullOfOrNull { kind ->
        try {
            KeyFactory.getInstance(kind).generatePrivate(spec)
        } catch (_: GeneralSecurityException) {
            null // A key of the other kind.
        }
    }
    requireNotNull(key) { "a service key is P-256 or RSA, in PKCS 8" }
    require(key !is ECPrivateKey || key.params.curve.field.fieldSize == P256_BITS) { "an EC service key is P-256" }
    return key
}
