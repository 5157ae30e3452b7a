// AWS SDK for Go v2: a function's life, and error types that bind. Prints what it saw as JSON.
// Arguments: the function's name, a zip, an ARN of a role.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

func main() {
	name, role := os.Args[1], os.Args[3]
	code, err := os.ReadFile(os.Args[2])
	check(err)
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1))
	check(err)
	client := lambda.NewFromConfig(settings)

	created, err := client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Role: &role, Runtime: "python3.13", Handler: aws.String("app.handler"),
		Code: &types.FunctionCode{ZipFile: code},
	})
	check(err)
	waiter := lambda.NewFunctionActiveV2Waiter(client)
	check(waiter.Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, time.Minute))
	answer, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: []byte(`{"a":1}`)})
	check(err)
	identity, err := sts.NewFromConfig(settings).GetCallerIdentity(ctx, nil)
	check(err)

	missing := name + "-missing"
	_, gone := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &missing})
	var notFound *types.ResourceNotFoundException
	_, twice := client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Role: &role, Runtime: "python3.13", Handler: aws.String("app.handler"),
		Code: &types.FunctionCode{ZipFile: code},
	})
	var conflict *types.ResourceConflictException
	_, wrong := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: []byte("{")})
	var content *types.InvalidRequestContentException
	bad, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(1),
		config.WithCredentialsProvider(aws.CredentialsProviderFunc(
			func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, nil
			})))
	check(err)
	_, stranger := lambda.NewFromConfig(bad).ListFunctions(ctx, nil)
	var code403 smithy.APIError
	errors.As(stranger, &code403)

	out, err := json.Marshal(map[string]any{
		"state":    created.State,
		"status":   answer.StatusCode,
		"answer":   json.RawMessage(answer.Payload),
		"arn":      *identity.Arn,
		"notFound": errors.As(gone, &notFound) && notFound.Type != nil,
		"conflict": errors.As(twice, &conflict),
		"content":  errors.As(wrong, &content),
		"stranger": code403.ErrorCode(),
	})
	check(err)
	fmt.Println(string(out))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
