package svoykrug.client

import com.google.gson.Gson
import kotlinx.coroutines.test.runTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.nio.file.Files
import java.nio.file.attribute.PosixFilePermissions
import java.security.KeyPairGenerator
import java.security.Signature
import java.util.Base64
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Returns who may read and write a file. */
internal fun permissionsOf(file: File): String = PosixFilePermissions.toString(Files.getPosixFilePermissions(file.toPath()))

class SecretsTest {
    @TempDir
    lateinit var folder: File

    @Test
    fun `a file keeps the session for its owner alone`() = runTest {
        val file = folder.resolve("session.json")
        val store = FileTokenStore(file)
        assertNull(store.load())
        val session = StoredSession("anna", "a secret", "1")
        store.save(session)
        assertEquals(session, store.load())
        assertEquals("rw-------", permissionsOf(file))
        repeat(2) { store.save(null) }
        assertContentEquals(emptyArray(), folder.list())
    }

    @Test
    fun `a file with something else is refused`() = runTest {
        for (content in listOf("", "[]", "{}", "no JSON")) {
            val file = folder.resolve("session.json").apply { writeText(content) }
            assertFailsWith<IllegalArgumentException>(content) { FileTokenStore(file).load() }
            assertFailsWith<IllegalArgumentException>(content) { ServiceKey.fromFile(file) }
        }
    }

    @Test
    fun `a session prints no secret`() {
        assertFalse("secret" in StoredSession("anna", "a secret").toString())
    }

    @Test
    fun `an RSA key signs RS256 and prints no secret`() {
        val pair = KeyPairGenerator.getInstance("RSA").apply { initialize(2048) }.generateKeyPair()
        val pem = "-----BEGIN PRIVATE KEY-----\n${Base64.getMimeEncoder().encodeToString(pair.private.encoded)}\n" +
            "-----END PRIVATE KEY-----\n"
        val key = ServiceKey("account", "kid-1", "svoykrug", pem)
        assertEquals("key kid-1 of service account account", key.toString())
        val assertion = key.assertion()
        val (header, claims, signature) = assertion.split('.').map { Base64.getUrlDecoder().decode(it) }
        val head = Gson().fromJson(String(header), Map::class.java)
        assertEquals(mapOf<Any?, Any?>("alg" to "RS256", "kid" to "kid-1", "typ" to "JWT"), head)
        assertEquals("svoykrug", Gson().fromJson(String(claims), Map::class.java)["aud"])
        val check = Signature.getInstance("SHA256withRSA").apply {
            initVerify(pair.public)
            update(assertion.substringBeforeLast('.').toByteArray())
        }
        assertTrue(check.verify(signature))
    }

    @Test
    fun `a key that is neither P-256 nor RSA is refused`() {
        val pair = KeyPairGenerator.getInstance("EC").apply { initialize(384) }.generateKeyPair()
        val pem = Base64.getEncoder().encodeToString(pair.private.encoded)
        assertFailsWith<IllegalArgumentException> { ServiceKey("account", "kid-1", "svoykrug", pem) }
        assertFailsWith<IllegalArgumentException> { ServiceKey("account", "kid-1", "svoykrug", "AAAA") }
    }
}
